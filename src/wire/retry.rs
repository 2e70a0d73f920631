//! Records on retry topics (`docs/wire-contract.md`, section 7): as received, and behind everything received what
//! handback has to know when they come back. Read only on topics that handback alone writes.
//!
//! Headers of the same names may have been received: on a reply topic anybody can write them. Ours come after them, and
//! only the last of each name is taken away again, so that what was received comes back byte for byte, however often a
//! record is moved.

use std::fmt;
use std::sync::Arc;

use super::dead_letter::{MAX_DETAIL_BYTES, one_line, push, push_origin, source_of};
use super::time::Millis;
use super::{Headers, Origin, OutRecord, Record, names};

/// What a record on a retry topic knows about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryState {
    /// Calls to the engine that failed for a reason of the record's own, over all its stays.
    pub attempts: u32,
    /// Tiers that it has passed for reasons of its own, this one perhaps among them.
    pub passed: usize,
    /// When a bridge first had it in hand, in milliseconds since the epoch.
    pub first_seen_ms: i64,
    /// When it may be tried again, in milliseconds since the epoch.
    pub not_before_ms: i64,
    /// Why it waits, for people: one line, no payload bytes.
    pub last_error: String,
}

/// Why a record on a retry topic cannot be taken up: somebody else wrote it, or changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRetryState {
    /// The header that is absent or wrong.
    pub header: &'static str,
}

impl fmt::Display for BadRetryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record stands on a retry topic, and its header {} is absent or wrong", self.header)
    }
}

impl std::error::Error for BadRetryState {}

impl RetryState {
    /// The record to write. It keeps the number of the partition that it was received from.
    #[must_use]
    pub fn to_record(&self, record: &Record, topic: Arc<str>) -> OutRecord {
        let mut headers = record.headers.clone();
        push_origin(&mut headers, &record.origin);
        push(&mut headers, names::ATTEMPTS, Some(&self.attempts.to_string()));
        push(&mut headers, names::TIERS, Some(&self.passed.to_string()));
        push(&mut headers, names::FIRST_SEEN, Some(&Millis(self.first_seen_ms).to_string()));
        push(&mut headers, names::NOT_BEFORE, Some(&Millis(self.not_before_ms).to_string()));
        push(&mut headers, names::LAST_ERROR, Some(&one_line(&self.last_error, MAX_DETAIL_BYTES)));
        OutRecord {
            topic,
            partition: Some(record.origin.partition),
            key: record.key.clone(),
            value: record.value.clone(),
            headers,
        }
    }

    /// The record as it was received on its reply topic, and its state.
    ///
    /// # Errors
    /// The record as it stands, and the header that is missing or wrong.
    pub fn restore(mut record: Record) -> Result<(Record, Self), (Box<Record>, BadRetryState)> {
        match Self::read(&record.headers).and_then(|state| Ok((state, origin(&record)?))) {
            Ok((state, origin)) => {
                record.origin = origin;
                OURS.iter().for_each(|name| record.headers.remove_last(name));
                Ok((record, state))
            }
            Err(fault) => Err((Box::new(record), fault)),
        }
    }

    /// When a record on a retry topic may be tried again, in milliseconds since the epoch; `None` when it does not say.
    #[must_use]
    pub fn not_before_ms(headers: &Headers) -> Option<i64> {
        time(headers, names::NOT_BEFORE).ok()
    }

    fn read(headers: &Headers) -> Result<Self, BadRetryState> {
        let attempts = text(headers, names::ATTEMPTS)?;
        Ok(Self {
            attempts: attempts.parse().map_err(|_| BadRetryState { header: names::ATTEMPTS })?,
            passed: text(headers, names::TIERS)?.parse().map_err(|_| BadRetryState { header: names::TIERS })?,
            first_seen_ms: time(headers, names::FIRST_SEEN)?,
            not_before_ms: time(headers, names::NOT_BEFORE)?,
            last_error: text(headers, names::LAST_ERROR)?.to_owned(),
        })
    }
}

/// What is written behind a record's own headers.
const OURS: [&str; 9] = [
    names::SOURCE_TOPIC,
    names::SOURCE_PARTITION,
    names::SOURCE_OFFSET,
    names::SOURCE_TIMESTAMP,
    names::ATTEMPTS,
    names::TIERS,
    names::FIRST_SEEN,
    names::NOT_BEFORE,
    names::LAST_ERROR,
];

/// The origin, whose partition number the record kept: outcomes go to the partition of that number.
fn origin(record: &Record) -> Result<Origin, BadRetryState> {
    let origin = source_of(&record.headers).ok_or(BadRetryState { header: names::SOURCE_TOPIC })?;
    if origin.topic.is_empty() {
        return Err(BadRetryState { header: names::SOURCE_TOPIC });
    }
    if origin.partition != record.origin.partition {
        return Err(BadRetryState { header: names::SOURCE_PARTITION });
    }
    // A log's last possible offset has none after it, and no bridge could have committed past it.
    if !(0..i64::MAX).contains(&origin.offset) {
        return Err(BadRetryState { header: names::SOURCE_OFFSET });
    }
    Ok(origin)
}

fn text<'a>(headers: &'a Headers, header: &'static str) -> Result<&'a str, BadRetryState> {
    let value = headers.last(header).ok_or(BadRetryState { header })?;
    std::str::from_utf8(value).map_err(|_| BadRetryState { header })
}

fn time(headers: &Headers, header: &'static str) -> Result<i64, BadRetryState> {
    Millis::parse(text(headers, header)?).map(|time| time.0).ok_or(BadRetryState { header })
}
