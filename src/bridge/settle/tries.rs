//! What is known of a record from the calls that failed for it, and what to do after one more.

use std::time::Duration;

use super::reasons::Waiting;
use crate::bridge::core::Core;
use crate::bridge::domains::Unresolved;
use crate::bridge::retry::{Next, Schedule};
use crate::bridge::seams::{Engine, Log};
use crate::bridge::tiers::Cause;
use crate::bridge::unready::Held;

/// What is known from the earlier calls for a record.
#[derive(Default)]
pub(super) struct Tries<'a> {
    /// None before the first failure: most records never have one.
    schedule: Option<Box<Schedule>>,
    /// Why the process is unready while the record waits.
    pub(super) unready: Option<Box<Held<'a>>>,
    /// Counts it while the engine does not know its domain.
    pub(super) unresolved: Option<Unresolved<'a>>,
    /// A call got no clear answer and may have been applied.
    pub(super) ambiguous: bool,
    /// How often and how long an attempt was called that was not there yet.
    pub(super) waiting: Option<Box<Waiting>>,
    /// Too many wait behind it for another try in place.
    pub(super) hurried: bool,
    /// An odd answer to this record had the wiring probed before.
    pub(super) suspected: bool,
    /// Slow waits for somebody to mend something.
    slow: u32,
    /// How often the gate had shut at the first failure.
    shut: u64,
    /// How often it began anew because the gate had shut.
    anew: u32,
    /// An engine that asked for less load was among the failures.
    busy: bool,
    /// When the last two failed, by the gate's clock.
    failed_at: (Duration, Duration),
}

impl Tries<'_> {
    /// Failed calls so far.
    pub(super) fn attempts(&self) -> u32 {
        let failed = self.schedule.as_ref().map_or(0, |schedule| schedule.attempts());
        failed + self.waiting.as_ref().map_or(0, |waiting| waiting.times())
    }

    /// Since when calls fail as the last one did: since the one before it.
    pub(super) fn failing_since(&self) -> Duration {
        self.failed_at.0
    }

    /// What to do after a call that failed for a transient reason.
    pub(super) fn failed<E: Engine, L: Log>(&mut self, core: &Core<E, L>, busy: bool) -> Decision {
        let fresh = || Box::new(Schedule::new(core.options.retry, core.began()));
        let now = core.gate.now();
        if self.schedule.is_none() {
            (self.shut, self.busy) = (core.gate.times_shut(), false);
            // It may be the last one too, where many wait behind it.
            self.failed_at = (now, now);
        }
        self.busy |= busy;
        self.failed_at = (self.failed_at.1, now);
        match self.schedule.get_or_insert_with(fresh).failed(busy, core.random()) {
            Next::Retry(delay) if !self.hurried => Decision::Wait(delay),
            // What failed while the engine was unwell was not the record's fault: it begins anew.
            Next::Spent(_) if core.has_tiers() && self.anew < MAX_ANEW && self.shut != core.gate.times_shut() => {
                (self.schedule, self.anew) = (None, self.anew + 1);
                Decision::Wait(core.options.retry.max)
            }
            Next::Retry(delay) | Next::Spent(delay) => {
                Decision::Spent(if self.busy { Cause::Busy } else { Cause::Failing }, delay)
            }
        }
    }

    /// What to do when somebody has to mend something first.
    pub(super) fn slowly<E: Engine, L: Log>(&mut self, core: &Core<E, L>, cause: Cause) -> Decision {
        self.slow += 1;
        let delay = core.options.retry.spent;
        if self.slow < MAX_SLOW && !self.hurried { Decision::Wait(delay) } else { Decision::Spent(cause, delay) }
    }
}

/// Calls that meet something to be mended before their record leaves. Twice: what heals within `retry.spent` costs no
/// detour.
const MAX_SLOW: u32 = 2;

/// Times that a record begins anew in one stay: an engine that is unwell now and then must not keep it here for ever.
const MAX_ANEW: u32 = 3;

pub(super) enum Decision {
    Final,
    Wait(Duration),
    /// The tries in place are spent: it leaves, or waits this long where nothing can leave.
    Spent(Cause, Duration),
}
