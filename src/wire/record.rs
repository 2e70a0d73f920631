//! Kafka records as the contract sees them: bytes, headers and where they came from. No client library in sight.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::Headers;

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
        let headers: usize = self.headers.iter().map(|(n, v)| n.as_bytes().len() + v.map_or(0, Bytes::len)).sum();
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
