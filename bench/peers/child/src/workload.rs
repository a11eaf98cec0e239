//! The client's part of the workloads, as the files work_*.go have it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::wire::{Outcome, Spec};
use crate::{HttpConn, RawConn, Result, Stack};

const REQUEST_SIZE: u64 = 1 << 10;
const OPEN_AT_A_TIME: usize = 32;
const SPREAD_PIECE: u64 = 64 << 10;
const SPREAD_WARMUP: usize = 4;
const MAX_SAMPLES: usize = 1 << 20;

pub struct Task<S: Stack> {
    spec: Rc<Spec>,
    stack: Rc<S>,
    raw: Vec<Rc<S::Raw>>,
    http: Vec<Rc<S::Http>>,
    visits: Rc<RefCell<Vec<Visit>>>, // of each worker of a spread workload
}

#[derive(Clone, Copy)]
struct Visit {
    conn: usize,
    done: usize,
}

impl<S: Stack> Task<S> {
    pub fn new(spec: Rc<Spec>, stack: Rc<S>) -> Result<Self> {
        let visits = (0..spec.at_a_time.min(spec.conns)).map(|conn| Visit { conn, done: 0 }).collect();
        Ok(Task { spec, stack, raw: vec![], http: vec![], visits: Rc::new(RefCell::new(visits)) })
    }

    /// Connects, and does what is not to be measured.
    pub async fn warm(&mut self) -> Result<()> {
        let spec = self.spec.clone();
        match spec.workload.as_str() {
            "bulk" => self.dial_raw(1).await,
            "http-bulk" => {
                self.dial_http(1).await?;
                get(&self.http[0], 1).await
            }
            "requests" => {
                self.dial_http(spec.conns).await?;
                for c in &self.http {
                    get(c, REQUEST_SIZE).await?;
                }
                failed(self.requests(nanos(spec.warmup_ns), 0).await)
            }
            "handshake" => failed(self.handshakes(nanos(spec.warmup_ns)).await),
            "idle" | "http-idle" => Ok(()),
            "datagrams" => {
                self.dial_raw(1).await?;
                self.raw[0].send_datagrams(spec.payload, Instant::now() + nanos(spec.warmup_ns)).await?;
                Ok(())
            }
            "spread" => {
                self.dial_raw(spec.conns).await?;
                self.visit_all().await
            }
            "http-spread" => {
                self.dial_http(spec.conns).await?;
                let conns = self.http.clone();
                each(conns.len(), OPEN_AT_A_TIME, |i| {
                    let c = conns[i].clone();
                    async move { get(&c, REQUEST_SIZE).await }
                })
                .await?;
                self.visit_all().await
            }
            other => Err(format!("no workload {other:?}").into()),
        }
    }

    /// Does what is measured.
    pub async fn run(&mut self) -> Result<Outcome> {
        let spec = self.spec.clone();
        match spec.workload.as_str() {
            "bulk" => self.bulk().await,
            "http-bulk" => {
                let c = &self.http[0];
                let begin = Instant::now();
                let bytes = if spec.upload { c.post(spec.bytes).await? } else { c.get(spec.bytes).await? };
                Ok(Outcome { seconds: begin.elapsed().as_secs_f64(), bytes, ops: 1, ..Outcome::default() })
            }
            "requests" => {
                let mut r = self.requests(nanos(spec.duration_ns), spec.requests).await;
                r.bytes = r.ops * REQUEST_SIZE;
                Ok(r)
            }
            "handshake" => Ok(self.handshakes(nanos(spec.duration_ns)).await),
            "idle" => {
                let begin = Instant::now();
                self.dial_raw(spec.conns).await?;
                Ok(Outcome { seconds: begin.elapsed().as_secs_f64(), ops: spec.conns as u64, ..Outcome::default() })
            }
            "http-idle" => {
                let begin = Instant::now();
                self.dial_http(spec.conns).await?;
                let conns = self.http.clone();
                each(conns.len(), OPEN_AT_A_TIME, |i| {
                    let c = conns[i].clone();
                    async move { get(&c, REQUEST_SIZE).await }
                })
                .await?;
                Ok(Outcome { seconds: begin.elapsed().as_secs_f64(), ops: spec.conns as u64, ..Outcome::default() })
            }
            "datagrams" => {
                let begin = Instant::now();
                let ops = self.raw[0].send_datagrams(spec.payload, begin + nanos(spec.duration_ns)).await?;
                Ok(Outcome { seconds: begin.elapsed().as_secs_f64(), ops, ..Outcome::default() })
            }
            "spread" | "http-spread" => {
                let piece = if spec.workload == "spread" { SPREAD_PIECE } else { REQUEST_SIZE };
                let end = Instant::now() + nanos(spec.duration_ns);
                let workers = self.visits.borrow().len();
                let mut r = hammer(workers, move |now| now < end, |w| self.visit(w)).await;
                r.bytes = r.ops * piece;
                Ok(r)
            }
            other => Err(format!("no workload {other:?}").into()),
        }
    }

    pub async fn close(self) {
        for c in &self.raw {
            c.close().await;
        }
        for c in &self.http {
            c.close().await;
        }
    }

    async fn dial_raw(&mut self, n: usize) -> Result<()> {
        let conns = Rc::new(RefCell::new(Vec::with_capacity(n)));
        each(n, OPEN_AT_A_TIME, |_| {
            let (stack, conns) = (self.stack.clone(), conns.clone());
            async move {
                let c = stack.dial_raw().await?;
                conns.borrow_mut().push(Rc::new(c));
                Ok(())
            }
        })
        .await?;
        self.raw = conns.take();
        Ok(())
    }

    async fn dial_http(&mut self, n: usize) -> Result<()> {
        let conns = Rc::new(RefCell::new(Vec::with_capacity(n)));
        each(n, OPEN_AT_A_TIME, |_| {
            let (stack, conns) = (self.stack.clone(), conns.clone());
            async move {
                let c = stack.dial_http().await?;
                conns.borrow_mut().push(Rc::new(c));
                Ok(())
            }
        })
        .await?;
        self.http = conns.take();
        Ok(())
    }

    async fn bulk(&self) -> Result<Outcome> {
        let (n, upload, bytes) = (self.spec.per_conn.max(1), self.spec.upload, self.spec.bytes);
        let moved = Rc::new(Cell::new(0));
        let begin = Instant::now();
        each(n, n, |i| {
            let (c, moved) = (self.raw[0].clone(), moved.clone());
            let share = bytes / n as u64 + if i == 0 { bytes % n as u64 } else { 0 };
            async move {
                let m = if upload { c.upload(share).await? } else { c.download(share).await? };
                moved.set(moved.get() + m);
                Ok(())
            }
        })
        .await?;
        Ok(Outcome {
            seconds: begin.elapsed().as_secs_f64(),
            bytes: moved.get(),
            ops: n as u64,
            ..Outcome::default()
        })
    }

    async fn requests(&self, d: Duration, times: u64) -> Outcome {
        let workers = self.http.len() * self.spec.per_conn;
        let op = |w: usize| {
            let c = self.http[w % self.http.len()].clone();
            move || {
                let c = c.clone();
                async move { get(&c, REQUEST_SIZE).await }
            }
        };
        if times != 0 {
            let begun = Rc::new(Cell::new(0));
            return hammer(workers, move |_| begun.replace(begun.get() + 1) < times, op).await;
        }
        let end = Instant::now() + d;
        hammer(workers, move |now| now < end, op).await
    }

    async fn handshakes(&self, d: Duration) -> Outcome {
        let end = Instant::now() + d;
        hammer(self.spec.conns, move |now| now < end, |_| {
            let stack = self.stack.clone();
            move || {
                let stack = stack.clone();
                async move {
                    stack.dial_raw().await?.close().await;
                    Ok(())
                }
            }
        })
        .await
    }

    /// Returns what a worker of a spread workload does over and over: a transfer
    /// on the connection whose turn it is.
    fn visit(&self, worker: usize) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<()>>>> + 'static {
        let (visits, stay) = (self.visits.clone(), self.spec.stay);
        let (raw, http) = (self.raw.clone(), self.http.clone());
        let n = raw.len().max(http.len());
        move || {
            let at = {
                let mut visits = visits.borrow_mut();
                let workers = visits.len();
                let v = &mut visits[worker];
                v.done += 1;
                if v.done > stay {
                    v.done = 1;
                    v.conn += workers;
                    if v.conn >= n {
                        v.conn = worker;
                    }
                }
                v.conn
            };
            if let Some(c) = http.get(at).cloned() {
                return Box::pin(async move { get(&c, REQUEST_SIZE).await });
            }
            let c = raw[at].clone();
            Box::pin(async move {
                match c.download(SPREAD_PIECE).await? {
                    SPREAD_PIECE => Ok(()),
                    n => Err(format!("{n} bytes came of {SPREAD_PIECE}").into()),
                }
            })
        }
    }

    /// Has every connection do its first transfers.
    async fn visit_all(&self) -> Result<()> {
        let workers = self.visits.borrow().len();
        let rounds = SPREAD_WARMUP.max(self.spec.stay) * self.spec.conns.div_ceil(workers);
        each(workers, workers, |w| {
            let op = self.visit(w);
            async move {
                for _ in 0..rounds {
                    op().await?;
                }
                Ok(())
            }
        })
        .await
    }
}

fn nanos(n: u64) -> Duration {
    Duration::from_nanos(n)
}

async fn get<C: HttpConn>(c: &Rc<C>, n: u64) -> Result<()> {
    match c.get(n).await? {
        m if m == n => Ok(()),
        m => Err(format!("{m} bytes came of {n}").into()),
    }
}

fn failed(r: Outcome) -> Result<()> {
    if r.errors != 0 {
        return Err(r.error.into());
    }
    Ok(())
}

/// Does op for all of 0..n, limit at a time, and returns the first error.
async fn each<F: Future<Output = Result<()>> + 'static>(
    n: usize,
    limit: usize,
    op: impl Fn(usize) -> F,
) -> Result<()> {
    let mut set = JoinSet::new();
    for i in 0..n {
        if set.len() == limit {
            if let Some(r) = set.join_next().await {
                r??;
            }
        }
        set.spawn_local(op(i));
    }
    while let Some(r) = set.join_next().await {
        r??;
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    ops: u64,
    errors: u64,
    error: String,
    samples: Vec<Duration>,
}

/// Has n workers do what op makes for each of them, over and over for as long as
/// there is to be more, and then waits for what is under way.
async fn hammer<O, F>(n: usize, more: impl Fn(Instant) -> bool + Clone + 'static, op: impl Fn(usize) -> O) -> Outcome
where
    O: Fn() -> F + 'static,
    F: Future<Output = Result<()>> + 'static,
{
    let mut set = JoinSet::new();
    let begin = Instant::now();
    for worker in 0..n {
        let (op, more) = (op(worker), more.clone());
        set.spawn_local(async move {
            let mut c = Counts::default();
            loop {
                let start = Instant::now();
                if !more(start) {
                    return c;
                }
                if let Err(e) = op().await {
                    if c.errors == 0 {
                        c.error = e.to_string();
                    }
                    c.errors += 1;
                    if c.errors > 100 {
                        return c;
                    }
                    continue;
                }
                c.ops += 1;
                if c.samples.len() < MAX_SAMPLES {
                    c.samples.push(start.elapsed());
                }
            }
        });
    }
    let mut r = Outcome::default();
    let mut samples = vec![];
    while let Some(done) = set.join_next().await {
        match done {
            Ok(c) => {
                r.ops += c.ops;
                r.errors += c.errors;
                if r.error.is_empty() {
                    r.error = c.error;
                }
                samples.extend(c.samples);
            }
            Err(e) => {
                r.errors += 1;
                r.error = e.to_string();
            }
        }
    }
    r.seconds = begin.elapsed().as_secs_f64();
    samples.sort_unstable();
    (r.p50, r.p99) = (quantile(&samples, 0.50), quantile(&samples, 0.99));
    r
}

/// Returns a quantile of sorted samples in microseconds.
fn quantile(sorted: &[Duration], q: f64) -> f64 {
    let at = (q * sorted.len() as f64) as usize;
    match sorted.get(at.min(sorted.len().saturating_sub(1))) {
        Some(d) => d.as_nanos() as f64 / 1e3,
        None => 0.0,
    }
}
