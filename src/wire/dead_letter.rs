//! Dead letters: records that cannot be settled, as received, with the reason beside them (wire contract, section 6).
//!
//! Everything received is kept byte for byte, also headers named `handback-source-*` and `handback-dlq-*`: on a reply
//! topic anybody can write those, or echo them from an earlier dead letter. Ours come after them, so that readers, who take
//! the last of each name, see what handback saw; and where ours has no value but one of that name was received, a null
//! header of ours stands last. A set of `handback-source-*` that already says the same is not written again, so that a
//! record that handback moves several times keeps its first.

use std::sync::Arc;

use bytes::Bytes;

use super::time::Millis;
use super::{Headers, Origin, OutRecord, OutcomeKind, Record, TokenPrint, names};

/// Longest text in a header of ours, in bytes. The dead-letter topic takes 64 KiB more than the reply topic.
const MAX_DETAIL_BYTES: usize = 2048;

/// A record on its way to the dead-letter topic, and why.
#[derive(Clone, Debug)]
pub struct DeadLetter<'a> {
    /// The record; its origin is where it stands, or stood first, on a reply topic.
    pub record: &'a Record,
    /// What became of it.
    pub outcome: OutcomeKind,
    /// Stable short code: a [`super::RefusalCode`], or the outcome's own name.
    pub reason: &'a str,
    /// The reason for people, one line, no payload bytes. Cut at 2048 bytes.
    pub detail: &'a str,
    /// Calls made to the engine.
    pub attempts: u32,
    /// The engine's last status, if it was called.
    pub engine_status: Option<&'a str>,
    /// Keyed fingerprint of the token, if there was one.
    pub token: Option<TokenPrint>,
}

impl DeadLetter<'_> {
    /// The record to write. The time of writing is its timestamp (retention goes by it), which is what a producer sets.
    #[must_use]
    pub fn to_record(&self, topic: Arc<str>) -> OutRecord {
        let mut headers = self.record.headers.clone();
        push_origin_once(&mut headers, &self.record.origin);
        push(&mut headers, names::DLQ_OUTCOME, Some(self.outcome.as_str()));
        push(&mut headers, names::DLQ_REASON, Some(self.reason));
        push(&mut headers, names::DLQ_DETAIL, Some(&one_line(self.detail)));
        push(&mut headers, names::DLQ_ATTEMPTS, Some(&self.attempts.to_string()));
        push(&mut headers, names::DLQ_ENGINE_STATUS, self.engine_status);
        push(&mut headers, names::DLQ_TOKEN, self.token.map(|print| print.to_string()).as_deref());
        OutRecord {
            topic,
            partition: Some(self.record.origin.partition),
            key: self.record.key.clone(),
            value: self.record.value.clone(),
            headers,
        }
    }
}

/// The origin that `handback-source-*` headers name. Only to be asked on topics that handback alone writes: on a reply
/// topic they mean nothing.
#[must_use]
pub fn source_of(headers: &Headers) -> Option<Origin> {
    let text = |name: &str| std::str::from_utf8(headers.last(name)?).ok();
    Some(Origin {
        topic: text(names::SOURCE_TOPIC)?.into(),
        partition: text(names::SOURCE_PARTITION)?.parse().ok()?,
        offset: text(names::SOURCE_OFFSET)?.parse().ok()?,
        timestamp_ms: text(names::SOURCE_TIMESTAMP).and_then(Millis::parse).map(|time| time.0),
    })
}

/// Appends the origin, unless the headers end with the very same.
fn push_origin_once(headers: &mut Headers, origin: &Origin) {
    let timestamp_ms = origin.timestamp_ms.filter(|time| Millis::valid(*time).is_some());
    if source_of(headers).is_none_or(|there| there != Origin { timestamp_ms, ..origin.clone() }) {
        push_origin(headers, origin);
    }
}

/// Appends the origin.
pub(super) fn push_origin(headers: &mut Headers, origin: &Origin) {
    let timestamp_ms = origin.timestamp_ms.filter(|time| Millis::valid(*time).is_some());
    push(headers, names::SOURCE_TOPIC, Some(&origin.topic));
    push(headers, names::SOURCE_PARTITION, Some(&origin.partition.to_string()));
    push(headers, names::SOURCE_OFFSET, Some(&origin.offset.to_string()));
    let timestamp = timestamp_ms.map(|time| Millis(time).to_string());
    push(headers, names::SOURCE_TIMESTAMP, timestamp.as_deref());
}

/// Appends a header of ours. Without a value it is left out, unless that would let a received one speak for us.
pub(super) fn push(headers: &mut Headers, name: &'static str, value: Option<&str>) {
    match value {
        Some(text) => headers.push(name, Bytes::copy_from_slice(text.as_bytes())),
        None if headers.count(name) > 0 => headers.push(name, None),
        None => {}
    }
}

/// Text without line breaks and other control characters, at most [`MAX_DETAIL_BYTES`] long.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_DETAIL_BYTES));
    for letter in text.chars() {
        if line.len() + letter.len_utf8() > MAX_DETAIL_BYTES {
            break;
        }
        line.push(if letter.is_control() { ' ' } else { letter });
    }
    line
}
