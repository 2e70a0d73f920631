//! Headers of a record: names and values are bytes, in the order in which they were written.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use bytes::Bytes;

use super::record::Size;

/// Headers of a reply at most. librdkafka, and whoever is built on it, reads up to 100,000 of a record, and what handback
/// moves comes with some of its own.
pub const MAX_HEADERS: usize = 99_900;

/// Name of a header. Kafka's protocol says that it is UTF-8, and no broker or client checks that.
///
/// `Display` and `Debug` show it so that it can stand in a line of a log: control characters and what is not UTF-8 are
/// escaped.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderName(Cow<'static, [u8]>);

impl HeaderName {
    /// The bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the name begins with this text.
    #[must_use]
    pub fn starts_with(&self, text: &str) -> bool {
        self.0.starts_with(text.as_bytes())
    }

    /// The name as text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<&'static str> for HeaderName {
    fn from(name: &'static str) -> Self {
        Self(Cow::Borrowed(name.as_bytes()))
    }
}

impl From<String> for HeaderName {
    fn from(name: String) -> Self {
        Self(Cow::Owned(name.into_bytes()))
    }
}

impl From<Vec<u8>> for HeaderName {
    fn from(name: Vec<u8>) -> Self {
        Self(Cow::Owned(name))
    }
}

impl PartialEq<str> for HeaderName {
    fn eq(&self, name: &str) -> bool {
        *self.0 == *name.as_bytes()
    }
}

impl PartialEq<&str> for HeaderName {
    fn eq(&self, name: &&str) -> bool {
        *self == **name
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '"' | '\'' => f.write_char(letter)?,
                    letter => write!(f, "{}", letter.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Record headers in the order they were written. Kafka allows a name several times and a value of null.
///
/// `Debug` of headers and records shows names and sizes only: values hold tokens and payloads.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    list: Vec<(HeaderName, Option<Bytes>)>,
    unreadable: bool,
}

impl Headers {
    /// No headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No headers yet, room for `count`.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { list: Vec::with_capacity(count), unreadable: false }
    }

    /// Headers that a record has and the Kafka client cannot read: none is known.
    #[must_use]
    pub fn unreadable() -> Self {
        Self { list: Vec::new(), unreadable: true }
    }

    /// Whether the record has headers that could not be read.
    #[must_use]
    pub fn are_unreadable(&self) -> bool {
        self.unreadable
    }

    /// Appends a header; an equal name already there stays.
    pub fn push(&mut self, name: impl Into<HeaderName>, value: impl Into<Option<Bytes>>) {
        self.list.push((name.into(), value.into()));
    }

    /// The last value of `name`, as the contract reads repeated headers. A null value counts as absent.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&Bytes> {
        self.list.iter().rev().find(|(n, _)| n == name).and_then(|(_, v)| v.as_ref())
    }

    /// How often `name` occurs, null values included.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.list.iter().filter(|(n, _)| n == name).count()
    }

    /// Takes the last header of this name away, if there is one.
    pub(super) fn remove_last(&mut self, name: &str) {
        if let Some(at) = self.list.iter().rposition(|(n, _)| n == name) {
            self.list.remove(at);
        }
    }

    /// Name and value of each header, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, Option<&Bytes>)> {
        self.list.iter().map(|(n, v)| (n, v.as_ref()))
    }

    /// Number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is no header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unreadable {
            f.write_str("unreadable, then ")?;
        }
        f.debug_map().entries(self.iter().map(|(name, value)| (name, Size(value)))).finish()
    }
}

impl<N: Into<HeaderName>> FromIterator<(N, Option<Bytes>)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, Option<Bytes>)>>(headers: I) -> Self {
        Self { list: headers.into_iter().map(|(n, v)| (n.into(), v)).collect(), unreadable: false }
    }
}
