//! A received record, as librdkafka has it.

use std::ffi::{CStr, c_void};
use std::{ptr, slice};

use rdkafka::bindings as raw;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::{RDKafkaMessage, RDKafkaRespErr};

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

    /// Names and values of its headers, in order. Names are bytes: Kafka's protocol says UTF-8, and nobody checks. What of a
    /// name comes after a NUL librdkafka does not give.
    pub(crate) fn headers(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives, and owns the headers that are given.
        let found = unsafe { raw::rd_kafka_message_headers(self.0, &raw mut headers) };
        let found = found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null();
        let mut index = 0;
        std::iter::from_fn(move || {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers live as long as the message, and beyond the last one librdkafka says that there is none.
            let told = found.then(|| unsafe {
                raw::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size)
            })?;
            if told != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            index += 1;
            // SAFETY: a header has a name that ends in NUL; its value is one piece, or there is none. Both live as long as the
            // message.
            Some(unsafe { (CStr::from_ptr(name).to_bytes(), bytes(value, size)) })
        })
    }
}

/// # Safety
/// `start` must be null, or the start of `size` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *const c_void, size: usize) -> Option<&'a [u8]> {
    // SAFETY: promised by the caller.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), size) })
}
