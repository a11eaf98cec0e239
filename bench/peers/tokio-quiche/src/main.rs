//! tokio-quiche, which is quiche on tokio, as a peer of bench.

mod http3;
mod raw;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bench_child::{Result, Spec, Stack, Tally};
use boring::pkey::PKey;
use boring::ssl::{SslContextBuilder, SslMethod};
use boring::x509::store::{X509Store, X509StoreBuilder};
use boring::x509::verify::X509VerifyFlags;
use boring::x509::X509;
use futures::StreamExt;
use tokio_quiche::metrics::DefaultMetrics;
use tokio_quiche::quic::ConnectionHook;
use tokio_quiche::settings::{CertificateKind, Hooks, QuicSettings, TlsCertificatePaths};
use tokio_quiche::socket::{QuicListener, Socket};
use tokio_quiche::{ApplicationOverQuic, ConnectionParams};

fn main() -> std::process::ExitCode {
    bench_child::main::<TokioQuiche>()
}

struct TokioQuiche {
    spec: Rc<Spec>,
    tally: Arc<Tally>,
    hook: Arc<Tls>,
}

impl Stack for TokioQuiche {
    type Raw = raw::Client;
    type Http = http3::Client;

    fn new(spec: Rc<Spec>, tally: Arc<Tally>) -> Result<Self> {
        let hook = Arc::new(Tls::new(&spec)?);
        Ok(TokioQuiche { spec, tally, hook })
    }

    async fn serve(&self, http: bool) -> Result<SocketAddr> {
        let sock = tokio::net::UdpSocket::from_std(bench_child::bind()?)?;
        let addr = sock.local_addr()?;
        let mut listener = QuicListener::try_from(sock)?;
        listener.apply_max_capabilities();
        let params = self.params(http);
        let mut accepted =
            tokio_quiche::listen_with_capabilities([listener], params, DefaultMetrics)?.remove(0);
        let tally = self.tally.clone();
        tokio::spawn(async move {
            while let Some(conn) = accepted.next().await {
                match conn {
                    Ok(c) if http => http3::serve(c, tally.clone()),
                    Ok(c) => {
                        c.start(raw::Server::new(tally.clone()));
                    }
                    Err(e) => tally.error(e),
                }
            }
        });
        Ok(addr)
    }

    async fn dial_raw(&self) -> Result<raw::Client> {
        let (app, client, established) = raw::ClientApp::new();
        self.connect(false, app).await?;
        established.await.map_err(|_| "the handshake failed")?;
        Ok(client)
    }

    async fn dial_http(&self) -> Result<http3::Client> {
        let (driver, controller) = tokio_quiche::ClientH3Driver::new(http3::settings());
        self.connect(true, driver).await?;
        Ok(http3::Client::new(controller, &self.spec.addr))
    }

    async fn close(&self) {
        // For the packets that close the connections.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

impl TokioQuiche {
    /// Each connection of the client has a socket of its own: the library has it so.
    async fn connect(&self, http: bool, app: impl ApplicationOverQuic) -> Result<()> {
        let sock = tokio::net::UdpSocket::from_std(bench_child::bind()?)?;
        sock.connect(self.spec.addr.parse::<SocketAddr>()?).await?;
        let mut sock = Socket::try_from(sock)?;
        sock.apply_max_capabilities();
        tokio_quiche::quic::connect_with_config(sock, Some(bench_child::SERVER_NAME), &self.params(http), app).await?;
        Ok(())
    }

    fn params(&self, http: bool) -> ConnectionParams<'static> {
        let mut s = QuicSettings::default();
        if !http {
            s.alpn = vec![bench_child::RAW_ALPN.to_vec()];
        }
        s.max_idle_timeout = Some(bench_child::IDLE_TIMEOUT);
        s.initial_max_data = bench_child::CONN_WINDOW;
        s.initial_max_stream_data_bidi_local = bench_child::STREAM_WINDOW;
        s.initial_max_stream_data_bidi_remote = bench_child::STREAM_WINDOW;
        s.initial_max_stream_data_uni = bench_child::STREAM_WINDOW;
        s.max_connection_window = bench_child::CONN_WINDOW;
        s.max_stream_window = bench_child::STREAM_WINDOW;
        s.initial_max_streams_bidi = bench_child::MAX_STREAMS;
        s.initial_max_streams_uni = bench_child::MAX_STREAMS;
        s.max_recv_udp_payload_size = self.spec.udp_payload().into();
        s.max_send_udp_payload_size = self.spec.udp_payload().into();
        s.disable_client_ip_validation = true;
        s.verify_peer = true;
        let hooks = Hooks { connection_hook: Some(self.hook.clone()) };
        // The hook is asked only if there are paths, and does not read them.
        let paths = TlsCertificatePaths { cert: "", private_key: "", kind: CertificateKind::X509 };
        ConnectionParams::new_client(s, Some(paths), hooks)
    }
}

/// The TLS of both roles: the server has the certificate of the run, and the client
/// trusts it alone. The key exchange is X25519MLKEM768, as Go's.
struct Tls {
    cert: X509,
    key: Option<PKey<boring::pkey::Private>>, // a server's
    trusted: X509Store,
}

impl Tls {
    fn new(spec: &Spec) -> Result<Self> {
        let cert = X509::from_pem(&spec.cert_pem)?;
        let key = match spec.role.as_str() {
            "server" => Some(PKey::private_key_from_pem(&spec.key_pem)?),
            _ => None,
        };
        let mut trusted = X509StoreBuilder::new()?;
        trusted.add_cert(&cert)?;
        // The certificate is no authority's. BoringSSL trusts it only if a chain may end
        // in any certificate that is trusted.
        trusted.try_set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
        Ok(Tls { cert, key, trusted: trusted.build() })
    }

    fn context(&self) -> Result<SslContextBuilder> {
        let mut b = SslContextBuilder::new(SslMethod::tls())?;
        b.set_curves_list("X25519MLKEM768:X25519")?;
        match &self.key {
            Some(key) => {
                b.set_certificate(&self.cert)?;
                b.set_private_key(key)?;
            }
            None => b.set_cert_store_ref(&self.trusted),
        }
        Ok(b)
    }
}

impl ConnectionHook for Tls {
    fn create_custom_ssl_context_builder(&self, _: TlsCertificatePaths<'_>) -> Option<SslContextBuilder> {
        self.context().ok()
    }
}
