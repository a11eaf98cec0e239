//! HTTP/3 over quinn: the crates h3 and h3-quinn.

use std::sync::Arc;

use bench_child::{HttpConn, Result, Tally};
use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3::server::RequestResolver;
use h3_quinn::OpenStreams;
use http::{Method, Request, Response};
use quinn::{Connection, VarInt};

/// Answers GET /N with N bytes, and POST with how many bytes the body had.
pub async fn serve(conn: Connection, tally: Arc<Tally>) {
    let mut h3 = match h3::server::builder().build::<_, Bytes>(h3_quinn::Connection::new(conn)).await {
        Ok(c) => c,
        Err(e) => return tally.error(e),
    };
    while let Ok(Some(resolver)) = h3.accept().await {
        let tally = tally.clone();
        tokio::task::spawn_local(async move {
            if let Err(e) = answer(resolver).await {
                tally.error(e);
            }
        });
    }
}

async fn answer(resolver: RequestResolver<h3_quinn::Connection, Bytes>) -> Result<()> {
    let (request, mut stream) = resolver.resolve_request().await?;
    if request.method() == Method::POST {
        let mut total = 0;
        while let Some(b) = stream.recv_data().await? {
            total += b.remaining();
        }
        stream.send_response(Response::new(())).await?;
        stream.send_data(total.to_string().into()).await?;
        stream.finish().await?;
        return Ok(());
    }
    let mut n: u64 = request.uri().path().trim_start_matches('/').parse()?;
    let response = Response::builder()
        .header(http::header::CONTENT_TYPE, "application/octet-stream")
        .header(http::header::CONTENT_LENGTH, n)
        .body(())?;
    stream.send_response(response).await?;
    while n > 0 {
        let m = n.min(bench_child::CHUNK as u64);
        stream.send_data(Bytes::from_static(&bench_child::PAYLOAD[..m as usize])).await?;
        n -= m;
    }
    stream.finish().await?;
    Ok(())
}

pub struct Client {
    conn: Connection,
    requests: SendRequest<OpenStreams, Bytes>,
    origin: String,
}

impl Client {
    pub async fn new(conn: Connection, addr: &str) -> Result<Self> {
        let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(conn.clone())).await?;
        tokio::task::spawn_local(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        Ok(Client { conn, requests, origin: format!("https://{addr}") })
    }
}

impl HttpConn for Client {
    async fn get(&self, n: u64) -> Result<u64> {
        let request = Request::get(format!("{}/{n}", self.origin)).body(())?;
        let mut stream = self.requests.clone().send_request(request).await?;
        stream.finish().await?;
        let response = stream.recv_response().await?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("status {}", response.status()).into());
        }
        let mut total = 0;
        while let Some(b) = stream.recv_data().await? {
            total += b.remaining() as u64;
        }
        Ok(total)
    }

    async fn post(&self, mut n: u64) -> Result<u64> {
        let request = Request::post(format!("{}/sink", self.origin))
            .header(http::header::CONTENT_LENGTH, n)
            .body(())?;
        let mut stream = self.requests.clone().send_request(request).await?;
        while n > 0 {
            let m = n.min(bench_child::CHUNK as u64);
            stream.send_data(Bytes::from_static(&bench_child::PAYLOAD[..m as usize])).await?;
            n -= m;
        }
        stream.finish().await?;
        let response = stream.recv_response().await?;
        let mut text = vec![];
        while let Some(mut b) = stream.recv_data().await? {
            text.extend_from_slice(&b.copy_to_bytes(b.remaining()));
        }
        if response.status() != http::StatusCode::OK {
            return Err(format!("status {}: {}", response.status(), String::from_utf8_lossy(&text)).into());
        }
        Ok(std::str::from_utf8(&text)?.parse()?)
    }

    async fn close(&self) {
        self.conn.close(VarInt::from_u32(0), b"");
    }
}
