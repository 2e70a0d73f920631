//! What the ledger is asked and told: whether a reply repeats what the engine applied before.

use std::fmt;

use super::core::Core;
use super::ledger::{Known, Source};
use super::seams::{Engine, Log, Remembered};
use super::work::{Conclusion, Work};
use crate::wire::{LedgerEntry, OutcomeKind};

/// What the ledger says of a reply.
pub(crate) enum Repeat {
    /// Nothing: the engine decides.
    Unknown,
    /// This very record was applied and recorded, and is delivered once more: there is nothing to do.
    Redelivery,
    /// Another record was applied for the same attempt.
    Told(Conclusion),
}

impl<E: Engine, L: Log> Core<E, L> {
    /// What a reply leaves in the ledger once it is applied. Heartbeats are no answers and leave nothing.
    pub(crate) fn ledger_entry(&self, work: &Work) -> Option<LedgerEntry> {
        let reply = work.reply.as_ref().ok().filter(|_| self.options.ledger_entries && !work.is_heartbeat())?;
        LedgerEntry::of(work.target(reply), reply, work.record.origin.offset)
    }

    /// Asks the ledger.
    pub(crate) fn repeat(&self, work: &Work, entry: Option<&LedgerEntry>) -> Repeat {
        let Some(entry) = entry.filter(|_| self.options.ledger.is_some()) else { return Repeat::Unknown };
        let id = work.partition;
        let known = self.ledger.borrow().ask(id.partition, id.topic, entry, work.since_ms);
        let repeat = match known {
            Known::No => return Repeat::Unknown,
            Known::SameRecord => Repeat::Redelivery,
            Known::SameAnswer(by) => {
                let detail = format!("the same answer was applied before: {}", self.place(work, by));
                Repeat::Told(told(OutcomeKind::Duplicate, detail))
            }
            Known::OtherAnswer(by, fingerprint) if fingerprint == entry.fingerprint => {
                let place = self.place(work, by);
                let detail = format!("the same answer was applied before under another idempotency key: {place}");
                Repeat::Told(told(OutcomeKind::Conflict, detail))
            }
            Known::OtherAnswer(by, fingerprint) => {
                let detail = format!(
                    "another answer was applied before: {} with fingerprint {fingerprint}; this one has {}",
                    self.place(work, by),
                    entry.fingerprint
                );
                Repeat::Told(told(OutcomeKind::Conflict, detail))
            }
        };
        self.metrics.ledger_hit();
        repeat
    }

    /// Takes note of what the engine applied. Only once its outcome is durable: until then the record may come again, and
    /// must not be taken for settled.
    pub(crate) fn remember(&self, work: &Work, entry: Option<LedgerEntry>) {
        let Some(entry) = entry.filter(|_| self.options.ledger.is_some()) else { return };
        let id = work.partition;
        let now = self.clock.steady_ms();
        let remembered = Remembered { entry, topic: Some(id.topic), at_ms: now };
        self.ledger.borrow_mut().remember(id.partition, &remembered, now);
    }

    fn place(&self, work: &Work, source: Source) -> impl fmt::Display {
        let topic = source.topic.and_then(|topic| self.options.reply_topics.get(usize::from(topic)));
        let topic = topic.map_or("a topic that is not read any more", String::as_str);
        format!("{topic}/{}/{}", work.partition.partition, source.offset)
    }
}

fn told(outcome: OutcomeKind, detail: String) -> Conclusion {
    Conclusion { detail: Some(detail), ..Conclusion::of(outcome) }
}
