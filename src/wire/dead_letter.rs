//! Dead letters: records that cannot be settled, as received, with the reason beside them (`docs/wire-contract.md`,
//! section 6).
//!
//! Everything received is kept byte for byte, also headers named `handback-source-*` and `handback-dlq-*`: on a reply
//! topic anybody can write those, or echo them from an earlier dead letter. Ours come after them, so that readers, who take
//! the last of each name, see what handback saw; and where ours has no value but one of that name was received, a null
//! header of ours stands last. A set of `handback-source-*` that already says the same is not written again, so that a
//! record that handback moves several times keeps its first.
//!
//! Of more than 99,900 headers none is kept: with ours beside them nobody could read any of them.
//!
//! What no broker takes at its size is written without its value: where it stands, how large it is and its hash remain.

use std::sync::Arc;

use bytes::Bytes;

use super::headers::MAX_HEADERS;
use super::omitted::{Omitted, omitted_headers};
use super::time::Millis;
use super::{Headers, Origin, OutRecord, OutcomeKind, Record, TokenPrint, names};

/// Longest text in a header of ours, in bytes. The dead-letter topic takes 64 KiB more than the reply topic.
pub(super) const MAX_DETAIL_BYTES: usize = 2048;

/// Longest key of a dead letter without headers: that of a request is a few hundred bytes, and a longer one may be what is
/// too large.
const MAX_KEPT_KEY_BYTES: usize = 1024;

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

/// How much of what was received a dead letter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Key, value and headers byte for byte, but for more than [`MAX_HEADERS`] headers: their count stands for them.
    All,
    /// Key and headers. Size and SHA-256 stand for the value.
    AllButValue,
    /// A short key alone. Sizes stand for the rest.
    Key,
}

impl DeadLetter<'_> {
    /// The record to write. The time of writing is its timestamp (retention goes by it), which is what a producer sets.
    #[must_use]
    pub fn to_record(&self, topic: Arc<str>) -> OutRecord {
        self.to_record_with(Kept::All, topic)
    }

    /// The same with less of what was received, for a topic that does not take it all.
    #[must_use]
    pub fn to_record_with(&self, kept: Kept, topic: Arc<str>) -> OutRecord {
        let Record { origin, key, value, headers: received } = self.record;
        let key_kept = kept < Kept::Key || key.as_ref().is_none_or(|key| key.len() <= MAX_KEPT_KEY_BYTES);
        // With ours on top of more than these it would be a record whose headers nobody can read.
        let headers_kept = kept < Kept::Key && received.len() <= MAX_HEADERS;
        let mut headers = if headers_kept { received.clone() } else { Headers::new() };
        push_origin_once(&mut headers, origin);
        push(&mut headers, names::DLQ_OUTCOME, Some(self.outcome.as_str()));
        push(&mut headers, names::DLQ_REASON, Some(self.reason));
        push(&mut headers, names::DLQ_DETAIL, Some(&self.shown_detail()));
        push(&mut headers, names::DLQ_ATTEMPTS, Some(&self.attempts.to_string()));
        push(&mut headers, names::DLQ_ENGINE_STATUS, self.engine_status);
        push(&mut headers, names::DLQ_TOKEN, self.token.map(|print| print.to_string()).as_deref());
        let value_omitted = value.as_ref().filter(|_| kept > Kept::All).map(|value| Omitted::of(value).to_string());
        push(&mut headers, names::DLQ_VALUE_OMITTED, value_omitted.as_deref());
        let key_omitted = key.as_ref().filter(|_| !key_kept).map(|key| Omitted::of(key).to_string());
        push(&mut headers, names::DLQ_KEY_OMITTED, key_omitted.as_deref());
        let headers_omitted = (!headers_kept && !received.is_empty()).then(|| omitted_headers(received));
        push(&mut headers, names::DLQ_HEADERS_OMITTED, headers_omitted.as_deref());
        OutRecord {
            topic,
            partition: Some(origin.partition),
            key: key.clone().filter(|_| key_kept),
            value: value.clone().filter(|_| kept == Kept::All),
            headers,
        }
    }

    /// The detail, and what of the record could not be received as it is.
    fn shown_detail(&self) -> String {
        let headers = &self.record.headers;
        let remark = if headers.are_unreadable() {
            "; its headers could not be read and are not here"
        } else if headers.iter().any(|(name, _)| name.as_bytes().contains(&0)) {
            "; header names are here up to their first NUL: what follows it could not be read"
        } else {
            return one_line(self.detail, MAX_DETAIL_BYTES);
        };
        one_line(self.detail, MAX_DETAIL_BYTES - remark.len()) + remark
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

/// Text without line breaks and other control characters, at most `max_bytes` long.
pub(super) fn one_line(text: &str, max_bytes: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max_bytes));
    for letter in text.chars() {
        if line.len() + letter.len_utf8() > max_bytes {
            break;
        }
        line.push(if letter.is_control() { ' ' } else { letter });
    }
    line
}
