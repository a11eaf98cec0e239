//! The lines of JSON between the driver and a process. spec.go says what the
//! fields are.

use std::io::Write;

use base64::prelude::{Engine, BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Result;

/// All that a process of a run needs to know.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Spec {
    pub role: String,
    pub workload: String,
    pub addr: String,
    pub bytes: u64,
    pub conns: usize,
    pub per_conn: usize,
    pub at_a_time: usize,
    pub stay: usize,
    pub requests: u64,
    #[serde(rename = "Warmup")]
    pub warmup_ns: u64,
    #[serde(rename = "Duration")]
    pub duration_ns: u64,
    pub payload: usize,
    pub upload: bool,
    #[serde(rename = "MaxUDPPayload")]
    pub max_udp_payload: u16,
    #[serde(rename = "CertPEM", deserialize_with = "bytes")]
    pub cert_pem: Vec<u8>,
    #[serde(rename = "KeyPEM", deserialize_with = "bytes")]
    pub key_pem: Vec<u8>,
}

impl Spec {
    /// The largest UDP payload to send.
    pub fn udp_payload(&self) -> u16 {
        match self.max_udp_payload {
            0 => 1452,
            n => n,
        }
    }
}

fn bytes<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Vec<u8>, D::Error> {
    let text = String::deserialize(d)?;
    BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[derive(Deserialize)]
pub struct Command {
    #[serde(rename = "Do")]
    pub what: String,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Usage {
    #[serde(rename = "CPU")]
    pub cpu: f64,
    pub mallocs: u64,
    pub alloc_bytes: u64,
    #[serde(rename = "RSS")]
    pub rss: i64,
    pub heap: u64,
    pub datagrams: i64,
    pub errors: Vec<String>,
}

impl Usage {
    pub fn since(mut self, before: &Usage) -> Usage {
        self.cpu -= before.cpu;
        self.mallocs -= before.mallocs;
        self.alloc_bytes -= before.alloc_bytes;
        self
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Outcome {
    pub seconds: f64,
    pub bytes: u64,
    pub ops: u64,
    pub errors: u64,
    pub error: String,
    pub p50: f64,
    pub p99: f64,
    pub used: Usage,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Outcome>,
}

impl Reply {
    pub fn fail(&mut self, r: Result<()>) {
        if let Err(e) = r {
            self.error = e.to_string();
        }
    }

    pub fn print(&self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        out.write_all(b"\n")?;
        out.flush()?;
        Ok(())
    }
}
