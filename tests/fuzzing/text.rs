//! Records as text, so that a corpus can be read, written by hand and mutated with sense.
//!
//! ```text
//! handback-action: fail        a header to the end of its line
//! kafka_correlationId          a header whose value is null
//!                              an empty line, then the value to the end; without that line the value is null
//! {"task_token": "~<@@>~", "result": 1}
//! ```
//!
//! `@@` stands for a good token, and what is between `~<` and `>~` is written in base64: so that mutations reach what is
//! inside.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use handback::wire::{Headers, Origin, Record};

/// A token as the engine writes it.
pub(crate) const TOKEN: &str = concat!(
    r#"{"domainId":"01a20512-c4f1-7204-8a3e-9b1d2c3e4f50","workflowId":"order-17","workflowType":"OrderWorkflow","#,
    r#""runId":"b5c5a5d2-7f0e-4b7c-9a51-2f6f0c1d9e83","scheduleId":12,"scheduleAttempt":0,"activityId":"3","activityType":"ChargeCard"}"#
);

/// How often `@@` means a token in one text: a few are of use, thousands only take time.
const MAX_TOKENS: usize = 8;

/// Where every record of ours stands.
pub(crate) fn origin() -> Origin {
    Origin { topic: "activity-replies".into(), partition: 4, offset: 1187, timestamp_ms: Some(1_795_341_607_000) }
}

/// A record with these headers and this value.
pub(crate) fn record_of(headers: Headers, value: Option<Bytes>) -> Record {
    Record { origin: origin(), key: Some(Bytes::from_static(b"orders/order-17")), value, headers }
}

/// The record that a text describes. Every text describes one.
pub(crate) fn record(text: &[u8]) -> Record {
    let mut headers = Vec::new();
    let mut rest = text;
    let value = loop {
        let (line, after) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        if line.is_empty() {
            break after.map(expanded);
        }
        headers.push(header(line));
        match after {
            Some(after) => rest = after,
            None => break None,
        }
    };
    record_of(headers.into_iter().collect(), value)
}

fn header(line: &[u8]) -> (Vec<u8>, Option<Bytes>) {
    match line.iter().position(|byte| *byte == b':') {
        Some(colon) => {
            let value = &line[colon + 1..];
            (line[..colon].to_vec(), Some(expanded(value.strip_prefix(b" ").unwrap_or(value))))
        }
        None => (line.to_vec(), None),
    }
}

/// The bytes with `@@` and `~<..>~` replaced.
pub(crate) fn expanded(bytes: &[u8]) -> Bytes {
    let with_tokens = replace_tokens(bytes);
    let mut out = Vec::with_capacity(with_tokens.len());
    let mut rest = &with_tokens[..];
    while let Some(begin) = find(rest, b"~<") {
        let Some(length) = find(&rest[begin + 2..], b">~") else { break };
        out.extend_from_slice(&rest[..begin]);
        out.extend_from_slice(STANDARD.encode(&rest[begin + 2..begin + 2 + length]).as_bytes());
        rest = &rest[begin + 2 + length + 2..];
    }
    out.extend_from_slice(rest);
    Bytes::from(out)
}

fn replace_tokens(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    for _ in 0..MAX_TOKENS {
        let Some(begin) = find(rest, b"@@") else { break };
        out.extend_from_slice(&rest[..begin]);
        out.extend_from_slice(TOKEN.as_bytes());
        rest = &rest[begin + 2..];
    }
    out.extend_from_slice(rest);
    out
}

fn find(bytes: &[u8], what: &[u8; 2]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == what)
}
