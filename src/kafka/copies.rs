//! Records as rdkafka has them and as the contract has them.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message, OwnedHeaders};

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
pub(crate) fn record(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Record {
    let bytes = |part: Option<&[u8]>| part.map(Bytes::copy_from_slice);
    let headers = message
        .headers()
        .map_or_else(Headers::new, |headers| headers.iter().map(|h| (h.key.to_owned(), bytes(h.value))).collect());
    let origin = Origin {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
    };
    Record { origin, key: bytes(message.key()), value: bytes(message.payload()), headers }
}
