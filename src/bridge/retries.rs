//! How a reply leaves for a retry topic, and when it is due there.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::core::Core;
use super::named::Named;
use super::options::Reads;
use super::partitions::Delivered;
use super::postponed::{Ahead, Place};
use super::seams::{DomainRef, Engine, Log, Probed};
use super::settle::domain;
use super::tiers::{self, Cause, Stay};
use super::unready::Held;
use super::work::{Conclusion, Work};
use crate::wire::{Action, OutRecord, OutcomeKind, RefusalCode, Reply, RetryState, Target};

/// Longest probe: a healthy server answers within milliseconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a reason to be unready outlives the record that left because of it: several scrapes of a monitor.
const LINGER: Duration = Duration::from_secs(60);

/// How long after a reply is due on a retry topic it has probably reached its end there, or left anew: it waits `lookup.wait`
/// (15 s) at most, and a group that moves needs seconds to read on.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(30);

impl<E: Engine, L: Log> Core<E, L> {
    /// Whether replies can leave at all.
    pub(crate) fn has_tiers(&self) -> bool {
        !self.options.tiers.is_empty()
    }

    /// How long a record is early for, in milliseconds: more than 0 on a retry topic before it is due. Whatever the wall clock
    /// does meanwhile.
    pub(crate) fn early_by(&self, delivered: &Delivered) -> i64 {
        let Some(wait) = self.wait_ms(delivered) else { return 0 };
        delivered.steady_ms + wait - self.clock.steady_ms()
    }

    /// When a record of a retry topic is due, by the wall clock as it was when it came; `None` for one of a reply topic.
    pub(crate) fn due_ms(&self, delivered: &Delivered) -> Option<i64> {
        Some(delivered.at_ms + self.wait_ms(delivered)?)
    }

    /// How long after it came a record of a retry topic is due. Its own word counts, but it was written before it came: it is
    /// never due later than its tier's delay after that, whatever the clock showed that wrote it.
    fn wait_ms(&self, Delivered { received, at_ms, steady_ms }: &Delivered) -> Option<i64> {
        if self.options.reads == Reads::Replies {
            return None;
        }
        let record = &received.record;
        let tier = self.options.tiers.iter().find(|tier| tier.topic == record.origin.topic);
        let longest = millis(tier.map_or(Duration::ZERO, |tier| tier.delay));
        let not_before = RetryState::not_before_ms(&record.headers)?;
        Some(not_before.saturating_sub(*at_ms.min(steady_ms)).clamp(0, longest))
    }

    /// The tier that a record goes to, or `None` when it has reached its end. Heartbeats never leave: by the time they
    /// came back they would be old.
    pub(crate) fn next_tier(&self, work: &Work, cause: Cause) -> Option<usize> {
        if work.is_heartbeat() {
            return None;
        }
        let at = self.tier_of(work);
        let age = u64::try_from(self.clock.steady_ms() - work.since_ms).unwrap_or(0);
        let stay = Stay { at, passed: work.passed, age: Duration::from_millis(age) };
        tiers::next(cause, stay, self.options.tiers.len(), self.options.max_parked)
    }

    /// For which cause a record leaves whose tries in place are spent, if it may. While the engine as a whole is unwell, as any
    /// worker of the process sees it, it stays and waits; while only its own part of the engine is, it leaves uncounted.
    /// `since` is when calls for it began to fail.
    pub(crate) async fn leaves_for(&self, cause: Cause, target: &Target, since: Duration) -> Option<Cause> {
        if !self.may_spill() {
            return None;
        }
        let cause = if cause == Cause::Failing { self.why_failing(target, since).await? } else { cause };
        self.may_spill().then_some(cause)
    }

    /// Whose fault it is that calls for this target fail; `None` when it may be the engine's as a whole.
    async fn why_failing(&self, target: &Target, since: Duration) -> Option<Cause> {
        let domain = domain(target);
        match self.probe(&domain, target.workflow_id()).await {
            Probed::Well | Probed::Elsewhere(_) => Some(Cause::Failing),
            Probed::Busy(_) => Some(Cause::Busy),
            Probed::Unwell(text) => {
                // Another answer says it, and without one another part of the engine is asked.
                let well = self.gate.answered_another_since(since, target.workflow_hash())
                    || !matches!(self.probe(&domain, &self.probe_name()).await, Probed::Unwell(_));
                tracing::debug!(
                    workflow = target.workflow_id(),
                    text,
                    others = well,
                    "its part of the engine is unwell"
                );
                well.then_some(Cause::Shard)
            }
        }
    }

    /// Asks the part of the engine that has this workflow whether it is well.
    async fn probe(&self, domain: &DomainRef, workflow_id: &str) -> Probed {
        // A call like any other, as far as the rate is concerned.
        drop(self.permit().await);
        let probe = self.engine.probe_history(domain, workflow_id);
        let late = |_| Probed::Unwell(format!("no answer within {PROBE_TIMEOUT:?}"));
        tokio::time::timeout(PROBE_TIMEOUT, probe).await.unwrap_or_else(late)
    }

    /// Whether a record may leave because too many others wait here. Not while the engine is unwell: then all wait.
    pub(crate) fn may_spill(&self) -> bool {
        self.has_tiers() && self.gate.is_open() && !self.ailing.anywhere()
    }

    /// The last reply to the same attempt that was written before this one and waits on a retry topic: this one has to wait
    /// behind it. Heartbeats have no order among answers.
    pub(crate) fn ahead_of(&self, work: &Work, reply: &Reply) -> Option<Ahead> {
        if self.postponed.is_empty() || work.is_heartbeat() || !self.has_tiers() {
            return None;
        }
        self.postponed.ahead_of(self.order_of(work, reply)?, Instant::now())
    }

    /// Why a reply leaves behind another one, and what would be recorded of it: what the first met this one would meet too, so
    /// that a hundred of them need not try one after the other.
    pub(crate) fn following(&self, reply: &Reply, ahead: Ahead) -> (Cause, Conclusion) {
        let cancels = reply.answer.action() == Action::Cancel;
        let cause = if ahead.cause == Cause::Unasked && !cancels { Cause::Following } else { ahead.cause };
        let detail = format!("an earlier reply to the same attempt waits ({})", ahead.cause.as_str());
        let ending = match cause {
            Cause::Unknown => Conclusion { detail: Some(detail), ..Conclusion::of(OutcomeKind::Unknown) },
            Cause::Unasked => Conclusion::rejected(RefusalCode::CancelNotRequested, detail),
            _ => Conclusion::exhausted(detail),
        };
        (cause, ending)
    }

    /// A reply is on a retry topic: later ones follow it.
    pub(crate) fn has_left(&self, work: &Work, tier: usize, cause: Cause) {
        if let Some(place) = work.reply.as_ref().ok().and_then(|reply| self.order_of(work, reply)) {
            let now = Instant::now();
            let until = now + self.options.tiers[tier].delay + COMES_BACK_WITHIN;
            self.postponed.left(place, Ahead { tier, cause }, until, now);
        }
    }

    /// A reply has reached its end.
    pub(crate) fn has_ended(&self, work: &Work) {
        if self.options.reads == Reads::Retries
            && !self.postponed.is_empty()
            && let Some(place) = work.reply.as_ref().ok().and_then(|reply| self.order_of(work, reply))
        {
            self.postponed.ended(place, Instant::now());
        }
    }

    fn order_of(&self, work: &Work, reply: &Reply) -> Option<Place> {
        Some(Place::new(work.lane?, &work.record.origin, Named::of(&reply.target), self.tier_of(work)))
    }

    /// The tier that a record was read from.
    fn tier_of(&self, work: &Work) -> Option<usize> {
        (self.options.reads == Reads::Retries).then(|| usize::from(work.partition.topic))
    }

    /// Keeps the process unready for a record that has left: until its `domain` answers, where that is the matter, and
    /// for a minute otherwise.
    pub(crate) fn linger(&self, unready: Held<'_>, domain: Option<DomainRef>) {
        let longest = self.options.tiers.iter().map(|tier| tier.delay).max().unwrap_or_default();
        let time = if domain.is_some() { longest + LINGER } else { LINGER };
        unready.linger(tokio::time::Instant::now() + time, domain);
    }

    /// The record that waits on a retry topic.
    pub(crate) fn retry_record(&self, work: &Work, tier: usize, cause: Cause, ending: &Conclusion) -> OutRecord {
        let tier = &self.options.tiers[tier];
        let state = RetryState {
            attempts: work.earlier.saturating_add(if cause.counts() { ending.attempts } else { 0 }),
            passed: work.passed + usize::from(cause.counts()),
            first_seen_ms: work.received_at_ms,
            not_before_ms: self.now_ms() + millis(tier.delay),
            last_error: ending.detail.clone().unwrap_or_else(|| cause.as_str().to_owned()),
        };
        state.to_record(&work.record, Arc::clone(&tier.topic))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
