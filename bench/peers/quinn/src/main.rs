//! quinn, with h3 for HTTP/3, as a peer of bench.

mod http3;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench_child::raw::{self, Op};
use bench_child::{RawConn, Result, Spec, Stack, Tally};
use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::rustls;
use quinn::{Connection, Endpoint, EndpointConfig, ReadExactError, RecvStream, SendDatagramError, SendStream, TransportConfig, VarInt};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

fn main() -> std::process::ExitCode {
    bench_child::main::<Quinn>()
}

struct Quinn {
    spec: Rc<Spec>,
    tally: Arc<Tally>,
    endpoint: Endpoint, // all connections of the process share it
    transport: Arc<TransportConfig>,
}

impl Stack for Quinn {
    type Raw = Raw;
    type Http = http3::Client;

    fn new(spec: Rc<Spec>, tally: Arc<Tally>) -> Result<Self> {
        let mut config = EndpointConfig::default();
        config.max_udp_payload_size(spec.udp_payload().max(1472))?;
        let endpoint = Endpoint::new(config, None, bench_child::bind()?, Arc::new(quinn::TokioRuntime))?;
        let transport = Arc::new(transport(&spec)?);
        Ok(Quinn { spec, tally, endpoint, transport })
    }

    async fn serve(&self, http: bool) -> Result<SocketAddr> {
        let cert = CertificateDer::from_pem_slice(&self.spec.cert_pem)?;
        let key = PrivateKeyDer::from_pem_slice(&self.spec.key_pem)?;
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)?;
        tls.alpn_protocols = vec![alpn(http)];
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
        config.transport_config(self.transport.clone());
        self.endpoint.set_server_config(Some(config));

        let (endpoint, tally) = (self.endpoint.clone(), self.tally.clone());
        let datagrams = self.spec.workload == "datagrams";
        tokio::task::spawn_local(async move {
            while let Some(incoming) = endpoint.accept().await {
                let tally = tally.clone();
                tokio::task::spawn_local(async move {
                    let conn = match incoming.await {
                        Ok(c) => c,
                        Err(e) => return tally.error(e),
                    };
                    if http {
                        return http3::serve(conn, tally).await;
                    }
                    if datagrams {
                        tokio::task::spawn_local(count_datagrams(conn.clone(), tally.clone()));
                    }
                    serve_raw(conn, tally).await;
                });
            }
        });
        Ok(self.endpoint.local_addr()?)
    }

    async fn dial_raw(&self) -> Result<Raw> {
        Ok(Raw(self.dial(false).await?))
    }

    async fn dial_http(&self) -> Result<http3::Client> {
        http3::Client::new(self.dial(true).await?, &self.spec.addr).await
    }

    async fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"");
        // The packets that say so leave in this time. What waits longer are
        // connections that drain.
        let _ = tokio::time::timeout(Duration::from_millis(200), self.endpoint.wait_idle()).await;
    }
}

impl Quinn {
    /// The configuration is made anew for each connection, since it would keep
    /// sessions else: all handshakes are full ones.
    async fn dial(&self, http: bool) -> Result<Connection> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&self.spec.cert_pem)?)?;
        let mut tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.resumption = rustls::client::Resumption::disabled();
        tls.alpn_protocols = vec![alpn(http)];
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        config.transport_config(self.transport.clone());
        let addr = self.spec.addr.parse()?;
        Ok(self.endpoint.connect_with(config, addr, bench_child::SERVER_NAME)?.await?)
    }
}

fn alpn(http: bool) -> Vec<u8> {
    if http { b"h3".to_vec() } else { bench_child::RAW_ALPN.to_vec() }
}

fn transport(spec: &Spec) -> Result<TransportConfig> {
    let mut t = TransportConfig::default();
    let mut mtu = quinn::MtuDiscoveryConfig::default();
    mtu.upper_bound(spec.udp_payload());
    t.max_idle_timeout(Some(bench_child::IDLE_TIMEOUT.try_into()?))
        .stream_receive_window(VarInt::from_u64(bench_child::STREAM_WINDOW)?)
        .receive_window(VarInt::from_u64(bench_child::CONN_WINDOW)?)
        .send_window(bench_child::CONN_WINDOW)
        .max_concurrent_bidi_streams(VarInt::from_u64(bench_child::MAX_STREAMS)?)
        .max_concurrent_uni_streams(VarInt::from_u64(bench_child::MAX_STREAMS)?)
        .mtu_discovery_config(Some(mtu));
    Ok(t)
}

/// The cryptography: of rustls's default, with the one cipher suite that Go
/// negotiates. The key exchange is X25519MLKEM768, as Go's.
fn provider() -> Arc<CryptoProvider> {
    thread_local! {
        static PROVIDER: Arc<CryptoProvider> = {
            let mut p = rustls::crypto::aws_lc_rs::default_provider();
            p.cipher_suites = vec![rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
            Arc::new(p)
        };
    }
    PROVIDER.with(Arc::clone)
}

async fn count_datagrams(conn: Connection, tally: Arc<Tally>) {
    while conn.read_datagram().await.is_ok() {
        tally.datagrams.fetch_add(1, Relaxed);
    }
}

async fn serve_raw(conn: Connection, tally: Arc<Tally>) {
    while let Ok((send, recv)) = conn.accept_bi().await {
        let tally = tally.clone();
        tokio::task::spawn_local(async move {
            if let Err(e) = serve_stream(send, recv).await {
                tally.error(e);
            }
        });
    }
}

async fn serve_stream(mut send: SendStream, mut recv: RecvStream) -> Result<()> {
    let mut request = [0; raw::REQUEST_LEN];
    recv.read_exact(&mut request).await?;
    let (op, n) = raw::parse(&request)?;
    if op == Op::Download {
        write_n(&mut send, n).await?;
    } else {
        let got = count(&mut recv).await?;
        send.write_all(&got.to_be_bytes()).await?;
    }
    send.finish()?;
    Ok(())
}

async fn write_n(send: &mut SendStream, mut n: u64) -> Result<()> {
    while n > 0 {
        let m = n.min(bench_child::CHUNK as u64);
        send.write_all(&bench_child::PAYLOAD[..m as usize]).await?;
        n -= m;
    }
    Ok(())
}

/// Reads to the end, without a copy of what is read.
async fn count(recv: &mut RecvStream) -> Result<u64> {
    let mut total = 0;
    while let Some(chunk) = recv.read_chunk(bench_child::CHUNK, true).await? {
        total += chunk.bytes.len() as u64;
    }
    Ok(total)
}

struct Raw(Connection);

impl RawConn for Raw {
    async fn download(&self, n: u64) -> Result<u64> {
        let (mut send, mut recv) = self.0.open_bi().await?;
        send.write_all(&raw::request(Op::Download, n)).await?;
        send.finish()?;
        count(&mut recv).await
    }

    async fn upload(&self, n: u64) -> Result<u64> {
        let (mut send, mut recv) = self.0.open_bi().await?;
        send.write_all(&raw::request(Op::Upload, n)).await?;
        write_n(&mut send, n).await?;
        send.finish()?;
        let mut answer = [0; raw::ANSWER_LEN];
        recv.read_exact(&mut answer).await.map_err(|e: ReadExactError| format!("reading the server's count: {e}"))?;
        Ok(u64::from_be_bytes(answer))
    }

    async fn send_datagrams(&self, payload: usize, end: Instant) -> Result<u64> {
        let b = Bytes::from_static(&bench_child::PAYLOAD[..payload]);
        let mut sent = 0;
        while Instant::now() < end {
            match self.0.send_datagram_wait(b.clone()).await {
                Ok(()) => sent += 1,
                // The search for the path MTU has not come so far yet.
                Err(SendDatagramError::TooLarge) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(sent)
    }

    async fn close(&self) {
        self.0.close(VarInt::from_u32(0), b"");
    }
}
