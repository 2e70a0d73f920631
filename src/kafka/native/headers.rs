//! Headers of records as bytes. The Rust wrapper panics on a name that is not UTF-8, and takes headers that librdkafka
//! cannot read for none at all.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;

use rdkafka::bindings::{
    rd_kafka_header_add, rd_kafka_header_cnt, rd_kafka_header_get, rd_kafka_header_get_all, rd_kafka_headers_t,
    rd_kafka_message_headers,
};
use rdkafka::message::OwnedHeaders;
use rdkafka::types::{RDKafkaMessage, RDKafkaRespErr as Code};
use rustc_hash::FxHashMap;

use crate::wire;

/// Most headers that are passed over while names of one record are looked up: 10 ms. Those are names with a NUL in them,
/// and of headers without a value, where that cannot be seen: with 2,000 such headers a record is still read.
const MAX_STEPS: usize = 4_000_000;

/// A header of a received record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header<'m> {
    /// Its name up to the first NUL in it: librdkafka tells no more.
    pub(crate) name: &'m [u8],
    /// Whether there was such a NUL, so that the name goes on or ends with it.
    pub(crate) is_cut: bool,
    /// Its value; null allowed.
    pub(crate) value: Option<&'m [u8]>,
}

/// The record has headers, and librdkafka cannot read them: there are more than 100,000, or they are malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// The headers of a received record, in their order.
///
/// Ends early when it cannot be told whether a name is whole, and says so by [`Received::all_told`].
pub(crate) struct Received<'m> {
    /// Null when there are none.
    headers: *const rd_kafka_headers_t,
    next: usize,
    steps_left: usize,
    /// By name: where to look for the next header of this name that has no value.
    nulls: FxHashMap<&'m CStr, usize>,
    message: PhantomData<&'m RDKafkaMessage>,
}

impl<'m> Received<'m> {
    /// The headers of this message, which librdkafka has received.
    ///
    /// # Errors
    /// When it has some that librdkafka cannot read.
    pub(super) fn of(message: &'m RDKafkaMessage) -> Result<Self, Unreadable> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is librdkafka's and lives as long as `message`; it writes the pointer and keeps none. It reads
        // the headers into the message at the first call, and `poll` gave this message to one thread alone.
        let code = unsafe { rd_kafka_message_headers(message, &raw mut headers) };
        match code {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            Code::RD_KAFKA_RESP_ERR__NOENT => headers = ptr::null_mut(),
            _ => return Err(Unreadable),
        }
        Ok(Self { headers, next: 0, steps_left: MAX_STEPS, nulls: FxHashMap::default(), message: PhantomData })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        if self.headers.is_null() {
            return 0;
        }
        // SAFETY: the headers belong to the message, which is borrowed for 'm.
        unsafe { rd_kafka_header_cnt(self.headers) }
    }

    /// Whether it has not ended early.
    pub(crate) fn all_told(&self) -> bool {
        self.steps_left > 0
    }

    /// Name and value of the header at `index`.
    fn get(&self, index: usize) -> Option<(&'m CStr, *const c_void, usize)> {
        if self.headers.is_null() {
            return None;
        }
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers belong to the message, which is borrowed for 'm; an index beyond the last is an error.
        let code =
            unsafe { rd_kafka_header_get_all(self.headers, index, &raw mut name, &raw mut value, &raw mut size) };
        if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: librdkafka ends each name with a NUL, and it stays as it is as long as the message.
        Some((unsafe { CStr::from_ptr(name) }, value, size))
    }

    /// Whether a name goes on behind what is told of it.
    fn is_cut(&mut self, name: &'m CStr, value: *const c_void) -> bool {
        // librdkafka puts the value behind the name and its NUL. That it does so is only a hint: what the places say is
        // believed when all is well, and looked up otherwise.
        let gap = (value as usize).wrapping_sub(name.as_ptr() as usize);
        if gap == name.to_bytes().len() + 1 {
            return false;
        }
        // Looked up by name, librdkafka compares lengths as well: headers with longer names are not found. One without a
        // value is like another, so that as many must be found as are told.
        let begin = if value.is_null() { self.nulls.get(name).copied().unwrap_or(0) } else { 0 };
        for occurrence in begin.. {
            match self.find(name, occurrence) {
                None => return true,
                Some(other) if other == value => {
                    if value.is_null() {
                        self.nulls.insert(name, occurrence + 1);
                    }
                    return false;
                }
                Some(_) => {}
            }
        }
        true
    }

    /// The value of a header whose whole name this is: the first such, the second and so on.
    fn find(&mut self, name: &CStr, occurrence: usize) -> Option<*const c_void> {
        self.steps_left = self.steps_left.saturating_sub(self.len());
        if self.steps_left == 0 {
            return None;
        }
        let (mut value, mut size) = (ptr::null(), 0);
        // SAFETY: the headers belong to the message, which is borrowed for 'm, and the name ends with a NUL.
        let code =
            unsafe { rd_kafka_header_get(self.headers, occurrence, name.as_ptr(), &raw mut value, &raw mut size) };
        (code == Code::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(value)
    }
}

impl<'m> Iterator for Received<'m> {
    type Item = Header<'m>;

    fn next(&mut self) -> Option<Header<'m>> {
        let (name, value, size) = self.get(self.next)?;
        let is_cut = self.is_cut(name, value);
        if !self.all_told() {
            return None;
        }
        self.next += 1;
        // SAFETY: librdkafka tells this many bytes from here on, which stay as they are as long as the message.
        let value = (!value.is_null()).then(|| unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) });
        Some(Header { name: name.to_bytes(), is_cut, value })
    }
}

/// Headers to send; `None` when there are none.
#[must_use]
pub fn to_send(headers: &wire::Headers) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let owned = OwnedHeaders::new_with_capacity(headers.len());
    let native = ptr::from_ref(owned.as_borrowed()).cast::<rd_kafka_headers_t>().cast_mut();
    for (name, value) in headers.iter() {
        let name = name.as_bytes();
        let (bytes, size) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
        // SAFETY: what `owned` lends is the pointer that librdkafka made it by, and nobody else has it. Name and value are
        // copied, as many bytes as said; neither is longer than isize::MAX, as no slice is.
        let code = unsafe {
            rd_kafka_header_add(
                native,
                name.as_ptr().cast::<c_char>(),
                name.len().cast_signed(),
                bytes.cast::<c_void>(),
                size.cast_signed(),
            )
        };
        // It has no other answer.
        debug_assert_eq!(code, Code::RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    Some(owned)
}
