//! How a reply leaves for a retry topic, and when it is due there.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::options::Reads;
use super::seams::{DomainRef, Engine, Log, Probed};
use super::settle::domain;
use super::tiers::{self, Cause, Stay};
use super::unready::Held;
use super::work::{Conclusion, Work};
use crate::wire::{OutRecord, Record, RetryState, Target};

/// How much longer than its tier's delay a record is held for a clock that differs.
const MAX_SKEW: Duration = Duration::from_secs(60);

/// Longest probe: a healthy server answers within milliseconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a reason to be unready outlives the record that left because of it: several scrapes of a monitor.
const LINGER: Duration = Duration::from_secs(60);

impl<E: Engine, L: Log> Core<E, L> {
    /// Whether replies can leave at all.
    pub(crate) fn has_tiers(&self) -> bool {
        !self.options.tiers.is_empty()
    }

    /// How long a record that was delivered at `at_ms` is early for, in milliseconds: more than 0 on a retry topic before it
    /// is due. Its own word counts, but not beyond its tier's delay from when it came here: the clock that wrote it may be
    /// wrong.
    pub(crate) fn early_by(&self, record: &Record, at_ms: i64) -> i64 {
        let Some(due) = self.due_ms(record, at_ms) else { return 0 };
        due.saturating_sub(self.now_ms())
    }

    /// When a record of a retry topic is due; `None` for one of a reply topic.
    pub(crate) fn due_ms(&self, record: &Record, at_ms: i64) -> Option<i64> {
        if self.options.reads == Reads::Replies {
            return None;
        }
        let tier = self.options.tiers.iter().find(|tier| tier.topic == record.origin.topic);
        let longest = millis(tier.map_or(Duration::ZERO, |tier| tier.delay + MAX_SKEW));
        RetryState::not_before_ms(&record.headers).map(|due| due.min(at_ms.saturating_add(longest)))
    }

    /// The tier that a record goes to, or `None` when it has reached its end. Heartbeats never leave: by the time they
    /// came back they would be old.
    pub(crate) fn next_tier(&self, work: &Work, cause: Cause) -> Option<usize> {
        if work.is_heartbeat() {
            return None;
        }
        let at = (self.options.reads == Reads::Retries).then(|| usize::from(work.partition.topic));
        let age = u64::try_from(self.now_ms() - work.received_at_ms).unwrap_or(0);
        let stay = Stay { at, passed: work.passed, age: Duration::from_millis(age) };
        tiers::next(cause, stay, self.options.tiers.len(), self.options.max_parked)
    }

    /// Whether a record whose tries in place are spent may leave. Only failures of its own count: while the engine as a
    /// whole is degraded, as any worker of the process sees it, or the record's own part of it, the record stays and waits.
    pub(crate) async fn may_leave(&self, cause: Cause, target: &Target) -> bool {
        if !self.may_spill() {
            return false;
        }
        if cause != Cause::Failing {
            return true;
        }
        // A call like any other, as far as the rate is concerned.
        drop(self.permit().await);
        let (domain, workflow_id) = (domain(target), target.workflow_id());
        let probe = self.engine.probe_history(&domain, workflow_id);
        let well = matches!(tokio::time::timeout(PROBE_TIMEOUT, probe).await, Ok(Probed::Well | Probed::Elsewhere(_)));
        well && self.may_spill()
    }

    /// Whether a record may leave because too many others wait here. Not while the engine is unwell: then all wait.
    pub(crate) fn may_spill(&self) -> bool {
        self.has_tiers() && self.gate.is_open() && !self.ailing.anywhere()
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
