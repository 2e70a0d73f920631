//! Records as rdkafka has them and as the contract has them.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{Header, OwnedHeaders};

use super::native::Message;
use crate::wire::{Headers, Origin, Record};

/// Headers to send; `None` when there are none.
pub(crate) fn headers(headers: &Headers) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let none = OwnedHeaders::new_with_capacity(headers.len());
    let all = headers.iter().fold(none, |all, (key, value)| all.insert(Header { key, value: value.map(|v| &v[..]) }));
    Some(all)
}

/// A copy of a received record; a message kept alive would keep its consumer from closing. `topic` is the message's own,
/// so that records can share it.
pub(crate) fn record(message: Message<'_>, topic: Arc<str>) -> Record {
    let bytes = |part: Option<&[u8]>| part.map(Bytes::copy_from_slice);
    let header = |(name, value)| (String::from_utf8_lossy(name).into_owned(), bytes(value));
    let origin = Origin {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp_ms(),
    };
    let headers: Headers = message.headers().map(header).collect();
    Record { origin, key: bytes(message.key()), value: bytes(message.value()), headers }
}
