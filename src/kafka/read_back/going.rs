//! A partition of the outcome topic that is being read, and what is read of an outcome.

use tokio::time::Instant;

use crate::bridge::seams::{Piece, ReadBack, Reading, Remembered};
use crate::kafka::native::Message;
use crate::wire::LedgerEntry;

/// What is read of one outcome.
pub(super) struct Seen {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) remembered: Option<Remembered>,
}

pub(super) fn seen(message: Message<'_>, reply_topics: &[String]) -> Seen {
    Seen { partition: message.partition(), offset: message.offset(), remembered: remembered(message, reply_topics) }
}

/// The entry of an outcome: in its headers alone, its value is not looked at.
fn remembered(message: Message<'_>, reply_topics: &[String]) -> Option<Remembered> {
    // A name that is cut is none of ours.
    let headers = message.headers().ok()?.filter(|header| !header.is_cut).map(|header| (header.name, header.value));
    let (entry, topic) = LedgerEntry::in_headers(headers);
    let index = reply_topics.iter().position(|name| Some(name.as_bytes()) == topic);
    let topic = index.and_then(|index| u16::try_from(index).ok());
    Some(Remembered { entry: entry?, topic, at_ms: message.timestamp_ms()? })
}

/// A partition that is being read.
pub(super) struct Going {
    pub(super) ask: ReadBack,
    /// One past the last record that was there when it was asked.
    pub(super) end: i64,
    pub(super) next: i64,
    pub(super) looked_at: usize,
    pub(super) entries: Vec<Remembered>,
    /// Since when no record has come for this reason.
    pub(super) trouble: Option<(Instant, String)>,
}

impl Going {
    pub(super) fn piece(&mut self, reading: Reading) -> Piece {
        self.looked_at = 0;
        let ReadBack { ticket, partition, .. } = self.ask;
        Piece { ticket, partition, entries: std::mem::take(&mut self.entries), next: Some(self.next), reading }
    }

    pub(super) fn left(&self) -> u64 {
        u64::try_from(self.end - self.next).unwrap_or(0)
    }
}
