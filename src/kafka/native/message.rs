//! A received record, as librdkafka has it.

use std::ffi::{CStr, c_void};
use std::slice;

use rdkafka::bindings as raw;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaMessage;

use super::headers::{Received, Unreadable};

/// A record that librdkafka keeps for as long as `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a>(&'a RDKafkaMessage);

impl<'a> From<&'a BorrowedMessage<'_>> for Message<'a> {
    fn from(message: &'a BorrowedMessage<'_>) -> Self {
        // SAFETY: the pointer is that of a message which lives as long as what was borrowed here.
        Self(unsafe { &*message.ptr() })
    }
}

impl<'a> Message<'a> {
    /// # Safety
    /// `message` must be one that librdkafka received, and live for `'a`.
    pub(super) unsafe fn new(message: &'a RDKafkaMessage) -> Self {
        Self(message)
    }

    /// Its topic's name.
    pub(crate) fn topic(self) -> &'a str {
        // SAFETY: a received message has a topic, which lives as long as the message, and its name with it.
        let name = unsafe { CStr::from_ptr(raw::rd_kafka_topic_name(self.0.rkt)) };
        // Kafka's names are ASCII; one that were not is none of ours.
        name.to_str().unwrap_or_default()
    }

    /// Its partition.
    pub(crate) fn partition(self) -> i32 {
        self.0.partition
    }

    /// Its offset.
    pub(crate) fn offset(self) -> i64 {
        self.0.offset
    }

    /// Epoch of the leader that took it, where the broker tells it.
    pub(crate) fn leader_epoch(self) -> Option<i32> {
        // SAFETY: the message lives.
        let epoch = unsafe { raw::rd_kafka_message_leader_epoch(self.0) };
        (epoch >= 0).then_some(epoch)
    }

    /// Its key.
    pub(crate) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka gives pointer and length of one piece of the message.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    /// Its value.
    pub(crate) fn value(self) -> Option<&'a [u8]> {
        // SAFETY: as above.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// When it was made or appended, in milliseconds since the epoch.
    pub(crate) fn timestamp_ms(self) -> Option<i64> {
        let mut kind = raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives, and the kind is written where one may be.
        let ms = unsafe { raw::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        let known = kind != raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (known && ms != -1).then_some(ms)
    }

    /// Its headers, in order.
    ///
    /// # Errors
    /// When it has some that librdkafka cannot read.
    pub(crate) fn headers(self) -> Result<Received<'a>, Unreadable> {
        Received::of(self.0)
    }
}

/// # Safety
/// `start` must be null, or the start of `size` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *const c_void, size: usize) -> Option<&'a [u8]> {
    // SAFETY: promised by the caller.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), size) })
}
