//! HTTP/3 on the drivers of tokio-quiche.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use bench_child::{HttpConn, Result, Tally, CHUNK, PAYLOAD};
use bytes::Bytes;
use futures::SinkExt;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio_quiche::http3::driver::{
    ClientEventStream, ClientH3Controller, ClientH3Event, ClientRequestSender, H3Event, InboundFrame,
    InboundFrameStream, IncomingH3Headers, NewClientRequest, OutboundFrame, OutboundFrameSender, ServerH3Event,
};
use tokio_quiche::http3::settings::Http3Settings;
use tokio_quiche::metrics::DefaultMetrics;
use tokio_quiche::quic::{ConnectionShutdownBehaviour, QuicCommand};
use tokio_quiche::quiche::h3::{Header, NameValue};
use tokio_quiche::{InitialQuicConnection, ServerH3Driver};

/// The buffer is a little smaller than the pieces that are sent: with one of the
/// same size the client can wait for ever.
pub fn settings() -> Http3Settings {
    let mut s = Http3Settings::default();
    s.max_recv_body_buf_size = Some(60001);
    s
}

/// Answers GET /N with N bytes, and POST with how many bytes the body had.
pub fn serve(conn: InitialQuicConnection<UdpSocket, DefaultMetrics>, tally: Arc<Tally>) {
    let (driver, mut controller) = ServerH3Driver::new(settings());
    conn.start(driver);
    tokio::spawn(async move {
        while let Some(event) = controller.event_receiver_mut().recv().await {
            if let ServerH3Event::Headers { incoming_headers, .. } = event {
                let tally = tally.clone();
                tokio::spawn(async move {
                    if let Err(e) = answer(incoming_headers).await {
                        tally.error(e);
                    }
                });
            }
        }
    });
}

async fn answer(mut request: IncomingH3Headers) -> Result<()> {
    let field = |name: &[u8]| request.headers.iter().find(|h| h.name() == name).map(|h| h.value());
    if field(b":method") == Some(b"POST") {
        let body = read(&mut request.recv, request.read_fin, |_| ()).await?;
        let head = vec![Header::new(b":status", b"200")];
        request.send.send(OutboundFrame::Headers(head, None)).await?;
        request.send.send(OutboundFrame::Body(body.to_string().into(), true)).await?;
        return Ok(());
    }
    let path = std::str::from_utf8(field(b":path").unwrap_or_default())?;
    let n: u64 = path.trim_start_matches('/').parse()?;
    let head = vec![
        Header::new(b":status", b"200"),
        Header::new(b"content-type", b"application/octet-stream"),
        Header::new(b"content-length", n.to_string().as_bytes()),
    ];
    request.send.send(OutboundFrame::Headers(head, None)).await?;
    write(&mut request.send, n).await
}

async fn write(to: &mut OutboundFrameSender, mut n: u64) -> Result<()> {
    loop {
        let m = n.min(CHUNK as u64);
        n -= m;
        to.send(OutboundFrame::Body(Bytes::from_static(&PAYLOAD[..m as usize]), n == 0)).await?;
        if n == 0 {
            return Ok(());
        }
    }
}

/// Reads a body to its end and returns its length.
async fn read(from: &mut InboundFrameStream, mut fin: bool, mut with: impl FnMut(&[u8])) -> Result<u64> {
    let mut total = 0;
    while !fin {
        match from.recv().await {
            Some(InboundFrame::Body(b, last)) => {
                total += b.len() as u64;
                with(&b);
                fin = last;
            }
            Some(InboundFrame::Datagram(_)) => {}
            None => return Err("the body ended early".into()),
        }
    }
    Ok(total)
}

type Waiting = Rc<RefCell<HashMap<u64, oneshot::Sender<IncomingH3Headers>>>>;

pub struct Client {
    controller: ClientH3Controller,
    requests: ClientRequestSender,
    authority: String,
    next: Cell<u64>,
    waiting: Waiting, // by request
}

impl Client {
    pub fn new(mut controller: ClientH3Controller, addr: &str) -> Self {
        let waiting = Waiting::default();
        tokio::task::spawn_local(dispatch(controller.take_event_receiver(), waiting.clone()));
        Client {
            requests: controller.request_sender(),
            controller,
            authority: addr.to_string(),
            next: Cell::new(0),
            waiting,
        }
    }

    /// Sends a request and returns its answer, to be waited for.
    fn request(
        &self,
        method: &[u8],
        path: &str,
        length: Option<u64>,
        body_writer: Option<oneshot::Sender<OutboundFrameSender>>,
    ) -> Result<oneshot::Receiver<IncomingH3Headers>> {
        let mut headers = vec![
            Header::new(b":method", method),
            Header::new(b":scheme", b"https"),
            Header::new(b":authority", self.authority.as_bytes()),
            Header::new(b":path", path.as_bytes()),
        ];
        if let Some(n) = length {
            headers.push(Header::new(b"content-length", n.to_string().as_bytes()));
        }
        let request_id = self.next.replace(self.next.get() + 1);
        let (tx, rx) = oneshot::channel();
        self.waiting.borrow_mut().insert(request_id, tx);
        self.requests
            .send(NewClientRequest { request_id, headers, body_writer })
            .map_err(|_| "the connection is closed")?;
        Ok(rx)
    }
}

/// Hands the answers to those who wait for them, until the connection ends.
async fn dispatch(mut events: ClientEventStream, waiting: Waiting) {
    let mut streams = HashMap::new();
    while let Some(event) = events.recv().await {
        match event {
            ClientH3Event::NewOutboundRequest { stream_id, request_id } => {
                if let Some(tx) = waiting.borrow_mut().remove(&request_id) {
                    streams.insert(stream_id, tx);
                }
            }
            ClientH3Event::Core(H3Event::IncomingHeaders(h)) => {
                if let Some(tx) = streams.remove(&h.stream_id) {
                    let _ = tx.send(h);
                }
            }
            _ => {}
        }
    }
    waiting.borrow_mut().clear();
}

fn check(answer: &IncomingH3Headers) -> Result<()> {
    match answer.headers.iter().find(|h| h.name() == b":status") {
        Some(h) if h.value() == b"200" => Ok(()),
        Some(h) => Err(format!("status {}", String::from_utf8_lossy(h.value())).into()),
        None => Err("no status".into()),
    }
}

impl HttpConn for Client {
    async fn get(&self, n: u64) -> Result<u64> {
        let mut answer = self.request(b"GET", &format!("/{n}"), None, None)?.await?;
        check(&answer)?;
        read(&mut answer.recv, answer.read_fin, |_| ()).await
    }

    async fn post(&self, n: u64) -> Result<u64> {
        let (tx, body) = oneshot::channel();
        let answer = self.request(b"POST", "/sink", Some(n), Some(tx))?;
        write(&mut body.await?, n).await?;
        let mut answer = answer.await?;
        check(&answer)?;
        let mut text = vec![];
        read(&mut answer.recv, answer.read_fin, |b| text.extend_from_slice(b)).await?;
        Ok(std::str::from_utf8(&text)?.parse()?)
    }

    async fn close(&self) {
        let close = ConnectionShutdownBehaviour { send_application_close: true, error_code: 0x100, reason: vec![] };
        let _ = self.controller.cmd_sender().send(QuicCommand::ConnectionClose(close));
    }
}
