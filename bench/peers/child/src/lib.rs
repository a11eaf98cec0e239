//! What the processes of bench's native peers have in common: the protocol that
//! the driver speaks with a process of a run, and the workloads. A peer is a
//! program that implements `Stack` and calls `main`.

mod alloc;
pub mod raw;
mod usage;
pub mod wire;
mod workload;

use std::fmt::Display;
use std::future::Future;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::LocalSet;

pub use wire::Spec;

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

// What all peers get alike. spec.go has the same.
pub const STREAM_WINDOW: u64 = 16 << 20;
pub const CONN_WINDOW: u64 = 24 << 20;
pub const MAX_STREAMS: u64 = 1000;
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
pub const CHUNK: usize = 64 << 10;
pub const RAW_ALPN: &[u8] = b"frittata-bench";
pub const SERVER_NAME: &str = "localhost";

/// What all applications send.
pub static PAYLOAD: [u8; CHUNK] = [0; CHUNK];

/// A QUIC implementation under test, as the server or the client of a run.
pub trait Stack: Sized + 'static {
    type Raw: RawConn + 'static;
    type Http: HttpConn + 'static;

    fn new(spec: Rc<Spec>, tally: Arc<Tally>) -> Result<Self>;

    /// Serves the raw protocol, or HTTP/3, on a free port.
    fn serve(&self, http: bool) -> impl Future<Output = Result<SocketAddr>>;

    /// Opens a connection of the raw protocol.
    fn dial_raw(&self) -> impl Future<Output = Result<Self::Raw>>;

    /// Opens an HTTP/3 connection.
    fn dial_http(&self) -> impl Future<Output = Result<Self::Http>>;

    /// Closes what is open.
    fn close(&self) -> impl Future<Output = ()>;
}

/// A client's connection of the raw protocol.
pub trait RawConn {
    /// Has the server send n bytes and returns how many came.
    fn download(&self, n: u64) -> impl Future<Output = Result<u64>>;
    /// Sends n bytes and returns how many the server says that it got.
    fn upload(&self, n: u64) -> impl Future<Output = Result<u64>>;
    /// Sends datagrams until end, and returns how many the stack took.
    fn send_datagrams(&self, payload: usize, end: Instant) -> impl Future<Output = Result<u64>>;
    fn close(&self) -> impl Future<Output = ()>;
}

/// A client's HTTP/3 connection.
pub trait HttpConn {
    /// Gets n bytes and returns how many came.
    fn get(&self, n: u64) -> impl Future<Output = Result<u64>>;
    /// Posts n bytes and returns how many the server counted.
    fn post(&self, n: u64) -> impl Future<Output = Result<u64>>;
    fn close(&self) -> impl Future<Output = ()>;
}

/// What a server counts, for the driver to ask.
#[derive(Default)]
pub struct Tally {
    /// Datagrams that the application received.
    pub datagrams: AtomicI64,
    errors: Mutex<Vec<String>>,
}

impl Tally {
    /// Keeps the first errors.
    pub fn error(&self, e: impl Display) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < 10 {
            errors.push(e.to_string());
        }
    }
}

/// Binds a socket to a free port of 127.0.0.1, with buffers of 7 MiB if the
/// system lets it.
pub fn bind() -> Result<UdpSocket> {
    let sock = UdpSocket::bind("127.0.0.1:0")?;
    sock.set_nonblocking(true)?;
    for (force, plain) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        if !set_buffer(&sock, force) {
            set_buffer(&sock, plain);
        }
    }
    Ok(sock)
}

fn set_buffer(sock: &UdpSocket, option: libc::c_int) -> bool {
    let size: libc::c_int = 7 << 20;
    // SAFETY: the descriptor is open, and the option takes an int.
    let r = unsafe {
        libc::setsockopt(
            sock.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(&size).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    r == 0
}

/// The main function of a peer. It takes a spec and then commands, a line each,
/// and answers each with a line, until the input ends.
pub fn main<S: Stack>() -> std::process::ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(r) => r,
        Err(e) => {
            eprintln!("{e}");
            return std::process::ExitCode::FAILURE;
        }
    };
    match LocalSet::new().block_on(&runtime, child::<S>()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn child<S: Stack>() -> Result<()> {
    let mut lines = read_lines();
    let Some(line) = lines.recv().await else {
        return Ok(());
    };
    let spec = Rc::new(serde_json::from_str::<Spec>(&line?)?);
    let tally = Arc::new(Tally::default());
    let stack = Rc::new(S::new(spec.clone(), tally.clone())?);

    let mut task = None;
    let mut first = wire::Reply::default();
    if spec.role == "server" {
        let http = spec.workload.starts_with("http") || spec.workload == "requests";
        first.addr = stack.serve(http).await?.to_string();
    } else {
        task = Some(workload::Task::new(spec.clone(), stack.clone())?);
    }
    first.print()?;

    while let Some(line) = lines.recv().await {
        let command: wire::Command = serde_json::from_str(&line?)?;
        let mut reply = wire::Reply::default();
        match (command.what.as_str(), &mut task) {
            ("snap", _) => reply.usage = Some(counted(usage::now(), &tally)),
            ("mem", _) => reply.usage = Some(counted(usage::memory(), &tally)),
            ("warm", Some(t)) => reply.fail(t.warm().await),
            ("run", Some(t)) => {
                let before = usage::now();
                match t.run().await {
                    Ok(mut r) => {
                        r.used = usage::now().since(&before);
                        reply.result = Some(r);
                    }
                    Err(e) => reply.fail(Err(e)),
                }
            }
            (other, _) => reply.error = format!("no command {other:?}"),
        }
        reply.print()?;
    }
    if let Some(t) = task {
        t.close().await;
    }
    stack.close().await;
    Ok(())
}

/// Reads the standard input on a thread of its own, so that the stack runs
/// meanwhile.
fn read_lines() -> mpsc::UnboundedReceiver<std::io::Result<String>> {
    let (tx, rx) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if tx.send(line).is_err() {
                return;
            }
        }
    });
    rx
}

fn counted(mut u: wire::Usage, tally: &Tally) -> wire::Usage {
    u.datagrams = tally.datagrams.load(Relaxed);
    u.errors = tally.errors.lock().unwrap_or_else(PoisonError::into_inner).clone();
    u
}
