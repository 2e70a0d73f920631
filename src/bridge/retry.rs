//! The in-place retry schedule: a table of delays, an attempt cap, and nothing else. `backoff` computes the growth;
//! the cap, the jitter and the clock are ours, because `backoff` counts time and not attempts.

use std::time::{Duration, Instant};

use backoff::backoff::Backoff;
use backoff::exponential::ExponentialBackoff;

/// How a record is tried again in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Calls in the fast schedule; after them the record is spent.
    pub max_attempts: u32,
    /// Delay after the first failure.
    pub initial: Duration,
    /// Growth of the delay.
    pub multiplier: f64,
    /// Longest delay.
    pub max: Duration,
    /// Share of a delay, 0 to 1, by which it may be shorter.
    pub jitter: f64,
    /// Added when the engine asked for less load (ServiceBusy).
    pub busy_extra: Duration,
    /// Delay between calls of a spent record.
    pub spent: Duration,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait this long, then call again.
    Retry(Duration),
    /// The attempts are spent. Until there is somewhere else to go, wait this long and call again.
    Spent(Duration),
}

/// A clock that never moves: the schedule is bounded by attempts, not by `backoff`'s elapsed time.
#[derive(Debug)]
struct Stopped(Instant);

impl backoff::Clock for Stopped {
    fn now(&self) -> Instant {
        self.0
    }
}

/// The schedule of one record.
#[derive(Debug)]
pub struct Schedule {
    policy: Policy,
    delays: ExponentialBackoff<Stopped>,
    attempts: u32,
}

impl Schedule {
    /// A record that was not tried yet. `now` anchors the clock that `backoff` asks for.
    #[must_use]
    pub fn new(policy: Policy, now: Instant) -> Self {
        let delays = ExponentialBackoff {
            current_interval: policy.initial,
            initial_interval: policy.initial,
            // The jitter is ours, so that a seed replays a run.
            randomization_factor: 0.0,
            multiplier: policy.multiplier,
            max_interval: policy.max,
            max_elapsed_time: None,
            start_time: now,
            clock: Stopped(now),
        };
        Self { policy, delays, attempts: 0 }
    }

    /// Failed attempts so far.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// An attempt failed for a transient reason. `random` is uniform in 0 to 1.
    pub fn failed(&mut self, busy: bool, random: f64) -> Next {
        self.attempts = self.attempts.saturating_add(1);
        let extra = if busy { self.policy.busy_extra } else { Duration::ZERO };
        let jittered = |delay: Duration| delay.mul_f64(1.0 - self.policy.jitter * random) + extra;
        if self.attempts >= self.policy.max_attempts {
            return Next::Spent(jittered(self.policy.spent));
        }
        let delay = self.delays.next_backoff().unwrap_or(self.policy.max);
        Next::Retry(jittered(delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        max_attempts: 5,
        initial: Duration::from_millis(100),
        multiplier: 2.0,
        max: Duration::from_millis(500),
        jitter: 0.5,
        busy_extra: Duration::from_secs(1),
        spent: Duration::from_secs(10),
    };

    #[expect(clippy::disallowed_methods, reason = "the anchor's value is of no account")]
    fn schedule() -> Schedule {
        Schedule::new(POLICY, Instant::now())
    }

    fn millis(busy: bool, random: f64) -> Vec<u128> {
        let mut schedule = schedule();
        (0..6)
            .map(|_| match schedule.failed(busy, random) {
                Next::Retry(delay) => delay.as_millis(),
                Next::Spent(delay) => 1_000_000 + delay.as_millis(),
            })
            .collect()
    }

    #[test]
    fn delays_grow_to_the_cap_and_attempts_are_bounded() {
        assert_eq!(millis(false, 0.0), [100, 200, 400, 500, 1_010_000, 1_010_000]);
    }

    #[test]
    fn jitter_only_shortens() {
        assert_eq!(millis(false, 1.0), [50, 100, 200, 250, 1_005_000, 1_005_000]);
    }

    #[test]
    fn a_busy_engine_is_left_alone_longer() {
        assert_eq!(millis(true, 0.0), [1100, 1200, 1400, 1500, 1_011_000, 1_011_000]);
    }
}
