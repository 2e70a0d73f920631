//! Times of the contract: milliseconds since the epoch inside, RFC 3339 in UTC with milliseconds on the wire.

use std::fmt;

use jiff::Timestamp;
use jiff::fmt::StdFmtWrite;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Serialize, Serializer};

const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// Beginning of year 0: a year before it has a sign.
const EARLIEST: i64 = -62_167_219_200_000;
/// As late as the time library makes times of milliseconds, a day before the end of 9999, the last year of four digits.
const LATEST: i64 = 253_402_207_200_000;

/// Milliseconds since the epoch; written like `2026-11-22T10:00:07.120Z`, always 24 characters. Times that RFC 3339
/// cannot write (a producer may set any number) become the nearest that it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(pub(crate) i64);

impl Millis {
    /// `None` for a time that RFC 3339 cannot write.
    pub(crate) fn valid(millis: i64) -> Option<Self> {
        Self(millis).fits().then_some(Self(millis))
    }

    /// The time written as `text`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let millis = text.parse::<Timestamp>().ok()?.as_millisecond();
        Self::valid(millis)
    }

    fn fits(self) -> bool {
        (EARLIEST..=LATEST).contains(&self.0)
    }

    /// Appends the time.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail, and the time is one that can be written.
        let _ = PRINTER.print_timestamp(&self.timestamp(), out);
    }

    fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0.clamp(EARLIEST, LATEST)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PRINTER.print_timestamp(&self.timestamp(), StdFmtWrite(f)).map_err(|_| fmt::Error)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_can_be_read_is_written_as_it_was() {
        for millis in [EARLIEST, EARLIEST + 1, -1, 0, 1_763_805_607_120, LATEST - 1, LATEST] {
            assert_eq!(Millis::parse(&Millis(millis).to_string()), Some(Millis(millis)));
        }
        for beyond in [EARLIEST - 1, LATEST + 1, i64::MIN, i64::MAX] {
            assert_eq!(Millis::valid(beyond), None);
        }
        assert_eq!(Millis::parse("9999-12-30T22:00:00.999Z"), None, "the library reads it and cannot make it");
    }
}
