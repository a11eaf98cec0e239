//! The raw protocol on an application of one's own, which the connection's worker
//! calls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::Instant;

use bench_child::raw::{self, Op};
use bench_child::{RawConn, Result, Tally, CHUNK, PAYLOAD};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_quiche::quic::{HandshakeInfo, QuicheConnection};
use tokio_quiche::quiche::Error;
use tokio_quiche::{ApplicationOverQuic, QuicResult};

/// What is to be sent on a stream: some bytes, and then a number of the payload's.
struct Outgoing {
    head: Bytes,
    payload: u64,
}

impl Outgoing {
    /// Sends what the stream takes, and tells whether that was all.
    fn send(&mut self, conn: &mut QuicheConnection, id: u64) -> QuicResult<bool> {
        loop {
            let m = self.payload.min(CHUNK as u64);
            let from_head = !self.head.is_empty();
            let (buf, fin) = if from_head {
                (self.head.clone(), self.payload == 0)
            } else {
                (Bytes::from_static(&PAYLOAD[..m as usize]), m == self.payload)
            };
            let len = buf.len();
            let n = match conn.stream_send_zc(id, buf, fin) {
                Ok((n, _)) => n,
                Err(Error::Done) => return Ok(false),
                Err(e) => return Err(e.into()),
            };
            if from_head {
                self.head = self.head.slice(n..);
            } else {
                self.payload -= n as u64;
            }
            if n < len {
                return Ok(false);
            }
            if fin {
                return Ok(true);
            }
        }
    }
}

/// What is to be sent on all streams.
#[derive(Default)]
struct Outbox(BTreeMap<u64, Outgoing>);

impl Outbox {
    fn send(&mut self, conn: &mut QuicheConnection) -> QuicResult<()> {
        let mut failed = None;
        self.0.retain(|&id, out| match out.send(conn, id) {
            Ok(done) => !done,
            Err(e) => {
                failed = Some(e);
                false
            }
        });
        failed.map_or(Ok(()), Err)
    }
}

/// A stream of the server, as far as it was read.
#[derive(Default)]
struct Incoming {
    request: Vec<u8>,
    body: u64,
}

pub struct Server {
    tally: Arc<Tally>,
    buf: Vec<u8>,
    streams: BTreeMap<u64, Incoming>,
    outbox: Outbox,
}

impl Server {
    pub fn new(tally: Arc<Tally>) -> Self {
        Server { tally, buf: Vec::new(), streams: BTreeMap::new(), outbox: Outbox::default() }
    }

    fn read(&mut self, conn: &mut QuicheConnection, id: u64) -> QuicResult<()> {
        let s = self.streams.entry(id).or_default();
        loop {
            let (n, fin) = match conn.stream_recv(id, &mut self.buf) {
                Ok(r) => r,
                Err(Error::Done) => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            let take = n.min(raw::REQUEST_LEN - s.request.len());
            s.request.extend_from_slice(&self.buf[..take]);
            s.body += (n - take) as u64;
            if !fin {
                continue;
            }
            let request = s.request.as_slice().try_into().map_err(|_| "a short request")?;
            let out = match raw::parse(request)? {
                (Op::Download, n) => Outgoing { head: Bytes::new(), payload: n },
                (Op::Upload, _) => {
                    Outgoing { head: Bytes::copy_from_slice(&s.body.to_be_bytes()), payload: 0 }
                }
            };
            self.streams.remove(&id);
            self.outbox.0.insert(id, out);
            return Ok(());
        }
    }
}

impl ApplicationOverQuic for Server {
    fn on_conn_established(&mut self, _: &mut QuicheConnection, _: &HandshakeInfo) -> QuicResult<()> {
        Ok(())
    }

    fn should_act(&self) -> bool {
        true
    }

    async fn wait_for_data(&mut self, _: &mut QuicheConnection) -> QuicResult<()> {
        std::future::pending().await
    }

    fn process_reads(&mut self, conn: &mut QuicheConnection) -> QuicResult<()> {
        let mut datagrams = 0;
        while conn.dgram_recv_buf().is_ok() {
            datagrams += 1;
        }
        if datagrams != 0 {
            self.tally.datagrams.fetch_add(datagrams, Relaxed);
        }
        if self.buf.is_empty() && conn.is_readable() {
            self.buf = vec![0; CHUNK];
        }
        while let Some(id) = conn.stream_readable_next() {
            if let Err(e) = self.read(conn, id) {
                self.tally.error(&e);
                return Err(e);
            }
        }
        Ok(())
    }

    fn process_writes(&mut self, conn: &mut QuicheConnection) -> QuicResult<()> {
        self.outbox.send(conn)
    }
}

/// A request of the client: the answer's length, or the number that it says.
struct Transfer {
    op: Op,
    n: u64,
    done: oneshot::Sender<u64>,
}

/// Datagrams to be sent until a time.
struct Flood {
    payload: usize,
    end: Instant,
    sent: u64,
    done: oneshot::Sender<u64>,
}

enum Command {
    Transfer(Transfer),
    Flood(Flood),
    Close,
}

struct Answer {
    transfer: Transfer,
    head: Vec<u8>,
    len: u64,
}

pub struct ClientApp {
    established: Option<oneshot::Sender<()>>,
    commands: mpsc::UnboundedReceiver<Command>,
    waiting: VecDeque<Transfer>, // until the server lets them open a stream
    next: u64,
    buf: Vec<u8>,
    answers: BTreeMap<u64, Answer>,
    outbox: Outbox,
    flood: Option<Flood>,
    closing: bool,
}

impl ClientApp {
    pub fn new() -> (Self, Client, oneshot::Receiver<()>) {
        let (tx, commands) = mpsc::unbounded_channel();
        let (established, rx) = oneshot::channel();
        let app = ClientApp {
            established: Some(established),
            commands,
            waiting: VecDeque::new(),
            next: 0,
            buf: Vec::new(),
            answers: BTreeMap::new(),
            outbox: Outbox::default(),
            flood: None,
            closing: false,
        };
        (app, Client(tx), rx)
    }

    fn take(&mut self, c: Command) {
        match c {
            Command::Transfer(t) => self.waiting.push_back(t),
            Command::Flood(f) => self.flood = Some(f),
            Command::Close => self.closing = true,
        }
    }

    fn flood(&mut self, conn: &mut QuicheConnection) -> QuicResult<()> {
        let Some(mut f) = self.flood.take() else {
            return Ok(());
        };
        while Instant::now() < f.end {
            match conn.dgram_send(&PAYLOAD[..f.payload]) {
                Ok(()) => f.sent += 1,
                Err(Error::Done) => {
                    self.flood = Some(f);
                    return Ok(());
                }
                Err(e) => return Err(e.into()),
            }
        }
        let _ = f.done.send(f.sent);
        Ok(())
    }
}

impl ApplicationOverQuic for ClientApp {
    fn on_conn_established(&mut self, _: &mut QuicheConnection, _: &HandshakeInfo) -> QuicResult<()> {
        if let Some(tx) = self.established.take() {
            let _ = tx.send(());
        }
        Ok(())
    }

    fn should_act(&self) -> bool {
        true
    }

    async fn wait_for_data(&mut self, conn: &mut QuicheConnection) -> QuicResult<()> {
        // Not in process_writes, which a timeout precedes: closed while it owes a probe of
        // the handshake, quiche sends packets for ever. Here all that was owed is sent.
        if self.closing {
            self.closing = false;
            let _ = conn.close(true, 0, b"");
            return Ok(());
        }
        if self.flood.is_some() && !conn.is_dgram_send_queue_full() {
            tokio::task::yield_now().await;
            return Ok(());
        }
        match self.commands.recv().await {
            Some(c) => self.take(c),
            None => std::future::pending().await,
        }
        Ok(())
    }

    fn process_reads(&mut self, conn: &mut QuicheConnection) -> QuicResult<()> {
        if self.buf.is_empty() && conn.is_readable() {
            self.buf = vec![0; CHUNK];
        }
        while let Some(id) = conn.stream_readable_next() {
            loop {
                let (n, fin) = match conn.stream_recv(id, &mut self.buf) {
                    Ok(r) => r,
                    Err(Error::Done) => break,
                    Err(e) => return Err(e.into()),
                };
                let Some(a) = self.answers.get_mut(&id) else {
                    return Err("an answer on a stream without a request".into());
                };
                a.len += n as u64;
                if a.transfer.op == Op::Upload {
                    a.head.extend_from_slice(&self.buf[..n]);
                }
                if !fin {
                    continue;
                }
                if let Some(a) = self.answers.remove(&id) {
                    let answer = match a.transfer.op {
                        Op::Download => a.len,
                        Op::Upload => u64::from_be_bytes(a.head.as_slice().try_into().map_err(|_| "a bad count")?),
                    };
                    let _ = a.transfer.done.send(answer);
                }
                break;
            }
        }
        Ok(())
    }

    fn process_writes(&mut self, conn: &mut QuicheConnection) -> QuicResult<()> {
        while let Ok(c) = self.commands.try_recv() {
            self.take(c);
        }
        while conn.peer_streams_left_bidi() > 0 {
            let Some(t) = self.waiting.pop_front() else {
                break;
            };
            let id = self.next;
            self.next += 4;
            let mut out = Outgoing {
                head: Bytes::copy_from_slice(&raw::request(t.op, t.n)),
                payload: if t.op == Op::Upload { t.n } else { 0 },
            };
            if !out.send(conn, id)? {
                self.outbox.0.insert(id, out);
            }
            self.answers.insert(id, Answer { transfer: t, head: vec![], len: 0 });
        }
        self.outbox.send(conn)?;
        self.flood(conn)
    }
}

pub struct Client(mpsc::UnboundedSender<Command>);

impl Client {
    async fn transfer(&self, op: Op, n: u64) -> Result<u64> {
        let (done, rx) = oneshot::channel();
        self.0.send(Command::Transfer(Transfer { op, n, done })).map_err(|_| "the connection is closed")?;
        Ok(rx.await?)
    }
}

impl RawConn for Client {
    async fn download(&self, n: u64) -> Result<u64> {
        self.transfer(Op::Download, n).await
    }

    async fn upload(&self, n: u64) -> Result<u64> {
        self.transfer(Op::Upload, n).await
    }

    async fn send_datagrams(&self, payload: usize, end: Instant) -> Result<u64> {
        let (done, rx) = oneshot::channel();
        let flood = Flood { payload, end, sent: 0, done };
        self.0.send(Command::Flood(flood)).map_err(|_| "the connection is closed")?;
        Ok(rx.await?)
    }

    async fn close(&self) {
        let _ = self.0.send(Command::Close);
    }
}
