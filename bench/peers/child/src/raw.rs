//! The raw protocol of raw.go: a request of an operation and a number, and an
//! answer to an upload of a number.

use crate::Result;

pub const REQUEST_LEN: usize = 9;
pub const ANSWER_LEN: usize = 8;

#[derive(Clone, Copy, PartialEq)]
pub enum Op {
    Download,
    Upload,
}

pub fn request(op: Op, n: u64) -> [u8; REQUEST_LEN] {
    let mut b = [0; REQUEST_LEN];
    b[0] = match op {
        Op::Download => b'D',
        Op::Upload => b'U',
    };
    b[1..].copy_from_slice(&n.to_be_bytes());
    b
}

pub fn parse(b: &[u8; REQUEST_LEN]) -> Result<(Op, u64)> {
    let op = match b[0] {
        b'D' => Op::Download,
        b'U' => Op::Upload,
        _ => return Err(format!("bad request {b:?}").into()),
    };
    let mut n = [0; 8];
    n.copy_from_slice(&b[1..]);
    Ok((op, u64::from_be_bytes(n)))
}
