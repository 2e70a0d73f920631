//! How a reply leaves for a retry topic, and when it is due there.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::options::Reads;
use super::seams::{DomainRef, Engine, Log};
use super::settle::domain;
use super::tiers::{self, Cause, Stay};
use super::unready::Held;
use super::work::{Conclusion, Work};
use crate::wire::{OutRecord, Record, RetryState, Target};

/// How much longer than its tier's delay a record is held for a clock that differs.
const MAX_SKEW: Duration = Duration::from_secs(60);

/// How long the engine is taken to be well after a probe found it so.
const WELL_FOR: Duration = Duration::from_secs(1);

/// Longest probe: a healthy server answers within milliseconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a reason to be unready outlives the record that left because of it: several scrapes of a monitor.
const LINGER: Duration = Duration::from_secs(60);

impl<E: Engine, L: Log> Core<E, L> {
    /// Whether replies can leave at all.
    pub(crate) fn has_tiers(&self) -> bool {
        !self.options.tiers.is_empty()
    }

    /// Whether a record of a retry topic is not due yet. Its own word counts, but for no longer than its tier's delay.
    pub(crate) fn is_early(&self, record: &Record) -> bool {
        if self.options.reads == Reads::Replies {
            return false;
        }
        let Some(due) = RetryState::not_before_ms(&record.headers) else { return false };
        let tier = self.options.tiers.iter().find(|tier| tier.topic == record.origin.topic);
        let longest = tier.map_or(Duration::ZERO, |tier| tier.delay + MAX_SKEW);
        let latest = record.origin.timestamp_ms.map_or(due, |written| written + millis(longest));
        self.now_ms() < due.min(latest)
    }

    /// The tier that a record goes to, or `None` when it has reached its end. Heartbeats never leave: by the time they
    /// came back they would be old.
    pub(crate) fn next_tier(&self, work: &Work, cause: Cause) -> Option<usize> {
        if work.is_heartbeat() {
            return None;
        }
        let at = (self.options.reads == Reads::Retries).then(|| usize::from(work.partition.topic));
        let age = u64::try_from(self.now_ms() - work.received_at_ms).unwrap_or(0);
        let stay = Stay { at, age: Duration::from_millis(age) };
        tiers::next(cause, stay, self.options.tiers.len(), self.options.max_parked)
    }

    /// Whether a record whose tries in place are spent may leave. Only failures of its own count: while the engine as a
    /// whole is degraded it stays and waits.
    pub(crate) async fn may_leave(&self, cause: Cause, target: &Target) -> bool {
        if !self.has_tiers() || !self.gate.is_open() {
            return false;
        }
        cause != Cause::Failing || self.engine_is_well(&domain(target)).await
    }

    /// Whether a record may leave because too many others wait here. Not while the engine is unwell: then all wait.
    pub(crate) fn may_spill(&self) -> bool {
        self.has_tiers() && self.gate.is_open()
    }

    /// Whether the part of the engine that decides about activities answers.
    async fn engine_is_well(&self, domain: &DomainRef) -> bool {
        if self.well_until.get().is_some_and(|until| tokio::time::Instant::now() < until) {
            return true;
        }
        let probe = self.engine.probe_history(domain, self.nonce());
        let well = matches!(tokio::time::timeout(PROBE_TIMEOUT, probe).await, Ok(Ok(())));
        if well {
            self.well_until.set(Some(tokio::time::Instant::now() + WELL_FOR));
        }
        well && self.gate.is_open()
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
            attempts: self.counted(work, cause, ending),
            first_seen_ms: work.received_at_ms,
            not_before_ms: self.now_ms() + millis(tier.delay),
            last_error: ending.detail.clone().unwrap_or_else(|| cause.as_str().to_owned()),
        };
        state.to_record(&work.record, Arc::clone(&tier.topic))
    }

    fn counted(&self, work: &Work, cause: Cause, ending: &Conclusion) -> u32 {
        if cause.counts() { work.earlier.saturating_add(ending.attempts) } else { work.earlier }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
