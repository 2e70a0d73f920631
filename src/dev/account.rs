//! The account of a run: everything that was seen, and whether it adds up.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::observer::{Reach, Sighting, What};
use crate::wire::{Action, Outcome, OutcomeKind, Record, Reply, source_of};

/// Partition and offset of a reply.
pub(super) type Source = (i32, i64);

/// A reply as it was seen; `None` where the contract cannot read it.
#[derive(Debug)]
pub(super) struct SeenReply {
    pub(super) record: Record,
    pub(super) reply: Option<Reply>,
}

impl SeenReply {
    /// Whether it only says that work goes on. Such a reply needs no outcome.
    pub(super) fn is_heartbeat(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| reply.answer.action() == Action::Heartbeat)
    }
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) requests: usize,
    pub(super) replies: BTreeMap<Source, SeenReply>,
    /// The first for each source, as the contract has it.
    pub(super) outcomes: BTreeMap<Source, Outcome>,
    pub(super) dead_letters: BTreeMap<Source, Record>,
    /// Outcomes and dead letters that say again what was said before: a crash in between would be the reason.
    pub(super) repeats: usize,
    pub(super) reaches: Vec<Reach>,
    /// When these were asked for, in milliseconds since the epoch.
    pub(super) looked_up_ms: i64,
}

impl Account {
    /// Enters what was seen.
    pub(super) fn enter(&mut self, sighting: Sighting) {
        match sighting.what {
            What::Request(..) => self.requests += 1,
            What::Reply(record, reply) => {
                let source = (record.origin.partition, record.origin.offset);
                let reply = reply.ok().map(|reply| *reply);
                self.replies.insert(source, SeenReply { record: *record, reply });
            }
            What::Outcome(outcome) => {
                let source = (outcome.source.partition, outcome.source.offset);
                match self.outcomes.entry(source) {
                    Entry::Vacant(first) => drop(first.insert(*outcome)),
                    Entry::Occupied(_) => self.repeats += 1,
                }
            }
            What::DeadLetter(record) => {
                let source =
                    source_of(&record.headers).map_or((-1, record.origin.offset), |of| (of.partition, of.offset));
                if self.dead_letters.insert(source, *record).is_some() {
                    self.repeats += 1;
                }
            }
            What::Closed(..) => {}
            What::Offsets(reaches) => (self.reaches, self.looked_up_ms) = (reaches, sighting.at_ms),
        }
    }

    /// Replies that need an outcome and have none.
    pub(super) fn open(&self) -> impl Iterator<Item = &SeenReply> {
        let open =
            |(source, reply): &(&Source, &SeenReply)| !reply.is_heartbeat() && !self.outcomes.contains_key(source);
        self.replies.iter().filter(open).map(|(_, reply)| reply)
    }

    /// Whether everything that was written by then, in milliseconds since the epoch, has been seen, has its outcome and
    /// its dead letter if it needs one, and is committed.
    pub(super) fn is_settled(&self, by_ms: i64) -> bool {
        let written: i64 = self.reaches.iter().map(|reach| reach.end).sum();
        let committed = self.reaches.iter().all(|reach| reach.committed.unwrap_or(0) == reach.end);
        let seen = self.looked_up_ms > by_ms && written == self.replies.len() as i64;
        seen && committed && self.open().next().is_none() && self.letters_missing().next().is_none()
    }

    /// Outcomes whose dead letter has not been seen.
    pub(super) fn letters_missing(&self) -> impl Iterator<Item = &Outcome> {
        let missing =
            |(source, outcome): &(&Source, &Outcome)| needs_letter(outcome) && !self.dead_letters.contains_key(source);
        self.outcomes.iter().filter(missing).map(|(_, outcome)| outcome)
    }

    /// How many outcomes there are of a kind.
    pub(super) fn count(&self, kind: OutcomeKind) -> usize {
        self.outcomes.values().filter(|outcome| outcome.kind == kind).count()
    }

    /// Heartbeats that brought no news, and so no outcome.
    pub(super) fn quiet_heartbeats(&self) -> usize {
        self.replies
            .iter()
            .filter(|(source, reply)| reply.is_heartbeat() && !self.outcomes.contains_key(source))
            .count()
    }
}

/// Whether a reply with this outcome is a dead letter too. A heartbeat that comes too late is none: it asks for nothing
/// that a replay could still do.
pub(super) fn needs_letter(outcome: &Outcome) -> bool {
    let harmless = matches!(outcome.kind, OutcomeKind::Applied | OutcomeKind::Duplicate);
    !harmless && outcome.action != Some(Action::Heartbeat)
}
