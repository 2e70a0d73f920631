//! One record on its way to its outcome, and what became of it.

use std::cell::OnceCell;
use std::rc::Rc;

use tokio::time::Instant;

use super::floodgate::Taken;
use super::lanes::Laned;
use super::named::Named;
use super::partitions::Life;
use super::seams::{Epoch, PartitionId};
use super::windows::Room;
use crate::wire::{Action, Evidence, LedgerEntry, OutcomeKind, Record, Refusal, RefusalCode, Reply, Target};

/// A record that was read and decoded, on its way to its outcome. No `Debug`: it holds a payload and a token.
pub(crate) struct Work {
    /// As it was received on its reply topic, with its place there.
    pub(crate) record: Record,
    /// The partition that it was read from: of a reply topic, or of a retry topic.
    pub(crate) partition: PartitionId,
    /// That partition's epoch when it was read.
    pub(crate) epoch: Epoch,
    /// Its offset there.
    pub(crate) offset: i64,
    pub(crate) reply: Result<Reply, Box<Refusal>>,
    /// The lane that keeps replies to one activity in order; a reply that is wrong in itself has none.
    pub(crate) lane: Option<u64>,
    /// When it first came to a worker; in milliseconds since the epoch.
    pub(crate) received_at_ms: i64,
    /// The same by the steady clock: ages are told from this.
    pub(crate) since_ms: i64,
    /// Calls for it that failed before it came here, on a reply topic and on other retry topics.
    pub(crate) earlier: u32,
    /// Tiers of retry topics that it has passed for reasons of its own.
    pub(crate) passed: usize,
    /// Ends when the record's partition is taken away.
    pub(crate) life: Rc<Life>,
    /// When it was taken up, if it had to wait for earlier replies to its activity. What it waits for itself counts from then:
    /// the waits of one activity's replies must not add up.
    pub(crate) queued_at: Option<Instant>,
    /// The token that names with an attempt stand for, once it was looked up.
    pub(crate) found: OnceCell<Box<Target>>,
    /// Its part in telling whether its topic is flooded.
    pub(crate) taken: Taken,
    /// Held for the bytes it accounts for.
    pub(crate) _room: Room,
}

impl Work {
    /// Whether it belongs to one of these assignments.
    pub(crate) fn is_of(&self, assignments: &[(PartitionId, Epoch)]) -> bool {
        assignments.contains(&(self.partition, self.epoch))
    }

    /// What the engine is told about: what the reply names, or the token that stands for it.
    pub(crate) fn target<'a>(&'a self, reply: &'a Reply) -> &'a Target {
        self.found.get().map_or(&reply.target, |found| found)
    }

    /// Whether it is a heartbeat.
    pub(crate) fn is_heartbeat(&self) -> bool {
        self.reply.as_ref().is_ok_and(|reply| reply.answer.action() == Action::Heartbeat)
    }
}

impl Laned for Rc<Work> {
    type Beat = Named;

    fn beat(&self) -> Option<Named> {
        let reply = self.reply.as_ref().ok()?;
        (reply.answer.action() == Action::Heartbeat).then(|| Named::of(&reply.target))
    }
}

/// How a record's story ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its outcome is durable (or it needs none): the offset may pass.
    Settled,
    /// The partition was taken away first: the new owner gets the record again.
    Abandoned,
}

/// What is to be recorded.
#[derive(Debug)]
pub(crate) struct Conclusion {
    pub(crate) outcome: OutcomeKind,
    /// Stable short code, for what is not applied.
    pub(crate) reason: Option<&'static str>,
    pub(crate) detail: Option<String>,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) cancel_requested: bool,
    pub(crate) attempts: u32,
    pub(crate) engine_status: Option<&'static str>,
    /// Whether the engine said that it does not know the reply's domain.
    pub(crate) unknown_domain: bool,
    /// What it leaves in the ledger, if the engine applied it.
    pub(crate) entry: Option<LedgerEntry>,
}

impl Conclusion {
    /// This outcome, and nothing more to say than its kind.
    pub(crate) fn of(outcome: OutcomeKind) -> Self {
        Self {
            outcome,
            reason: (outcome != OutcomeKind::Applied).then(|| outcome.as_str()),
            detail: None,
            evidence: None,
            cancel_requested: false,
            attempts: 0,
            engine_status: None,
            unknown_domain: false,
            entry: None,
        }
    }

    /// Every allowed attempt came to nothing.
    pub(crate) fn exhausted(detail: String) -> Self {
        Self { detail: Some(detail), ..Self::of(OutcomeKind::Exhausted) }
    }

    /// The reply itself is wrong.
    pub(crate) fn rejected(code: RefusalCode, detail: String) -> Self {
        Self { reason: Some(code.as_str()), detail: Some(detail), ..Self::of(OutcomeKind::Rejected) }
    }
}

/// The partition was taken away while the record waited.
pub(crate) struct Gone;
