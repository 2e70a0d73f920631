//! Kafka records as the contract sees them: bytes, headers and where they came from. No client library in sight.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Record headers in the order they were written. Kafka allows a name several times and a value of null.
///
/// `Debug` of headers and records shows names and sizes only: values hold tokens and payloads.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Cow<'static, str>, Option<Bytes>)>);

impl Headers {
    /// No headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No headers yet, room for `count`.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Appends a header; an equal name already there stays.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Option<Bytes>>) {
        self.0.push((name.into(), value.into()));
    }

    /// The last value of `name`, as the contract reads repeated headers. A null value counts as absent.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().rev().find(|(n, _)| n == name).and_then(|(_, v)| v.as_ref())
    }

    /// How often `name` occurs, null values included.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(n, _)| n == name).count()
    }

    /// Takes the last header of this name away, if there is one.
    pub(super) fn remove_last(&mut self, name: &str) {
        if let Some(at) = self.0.iter().rposition(|(n, _)| n == name) {
            self.0.remove(at);
        }
    }

    /// Name and value of each header, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&Bytes>)> {
        self.0.iter().map(|(n, v)| (n.as_ref(), v.as_ref()))
    }

    /// Number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, Size(value)))).finish()
    }
}

impl FromIterator<(String, Option<Bytes>)> for Headers {
    fn from_iter<I: IntoIterator<Item = (String, Option<Bytes>)>>(headers: I) -> Self {
        Self(headers.into_iter().map(|(n, v)| (n.into(), v)).collect())
    }
}

/// Where a record stands on its topic. `Display` is `topic/partition/offset`, the form used in every message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
    /// Offset of the record itself, not of the next one.
    pub offset: i64,
    /// Kafka's record timestamp in milliseconds since the epoch, when it has one.
    pub timestamp_ms: Option<i64>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// A record as it was received.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub origin: Origin,
    /// Key, null allowed.
    pub key: Option<Bytes>,
    /// Value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers as received.
    pub headers: Headers,
}

impl Record {
    /// Bytes that the record holds in memory: key, value, header names and values.
    #[must_use]
    pub fn size(&self) -> usize {
        let part = |b: &Option<Bytes>| b.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + v.map_or(0, Bytes::len)).sum();
        part(&self.key) + part(&self.value) + headers
    }
}

/// A record to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct OutRecord {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition, when the contract fixes it; otherwise the client's partitioner decides.
    pub partition: Option<i32>,
    /// Key, null allowed.
    pub key: Option<Bytes>,
    /// Value, null allowed.
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Headers,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("origin", &format_args!("{}", self.origin))
            .field("key", &Size(self.key.as_ref()))
            .field("value", &Size(self.value.as_ref()))
            .field("headers", &self.headers)
            .finish()
    }
}

impl fmt::Debug for OutRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("key", &Size(self.key.as_ref()))
            .field("value", &Size(self.value.as_ref()))
            .field("headers", &self.headers)
            .finish()
    }
}

/// Bytes shown by their number.
pub(super) struct Size<'a>(pub(super) Option<&'a Bytes>);

impl fmt::Debug for Size<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "{} bytes", bytes.len()),
            None => f.write_str("null"),
        }
    }
}
