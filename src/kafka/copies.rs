//! Records as librdkafka has them and as the contract has them.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::BorrowedMessage;

pub use super::native::to_send as headers;

use super::native::Message;
use crate::wire::{Headers, Origin, Record};

/// A copy of a record that the Rust wrapper has received.
#[must_use]
pub fn received(message: &BorrowedMessage<'_>) -> Record {
    let message = Message::from(message);
    record(message, message.topic().into())
}

/// A copy of a received record; a message kept alive would keep its consumer from closing. `topic` is the message's own,
/// so that records can share it.
pub(crate) fn record(message: Message<'_>, topic: Arc<str>) -> Record {
    let bytes = |part: Option<&[u8]>| part.map(Bytes::copy_from_slice);
    let origin = Origin {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp_ms(),
    };
    Record { origin, key: bytes(message.key()), value: bytes(message.value()), headers: received_headers(message) }
}

/// The headers of a received record. A name with a NUL in it is told up to there by librdkafka, and kept with that NUL: so
/// it is no other header's name, comes back as it is from a retry topic, and can be said of in a dead letter.
fn received_headers(message: Message<'_>) -> Headers {
    let Ok(mut all) = message.headers() else { return Headers::unreadable() };
    let mut headers = Headers::with_capacity(all.len());
    for header in all.by_ref() {
        let mut name = Vec::with_capacity(header.name.len() + usize::from(header.is_cut));
        name.extend_from_slice(header.name);
        if header.is_cut {
            name.push(0);
        }
        headers.push(name, header.value.map(Bytes::copy_from_slice));
    }
    if all.all_told() { headers } else { Headers::unreadable() }
}
