//! How long an attempt has. Pure.

use std::time::Duration;

/// When an attempt began and how long it may take, as the engine tells it. A timeout of zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When the activity was first scheduled, in milliseconds since the epoch by the engine's clock, as the next two.
    pub scheduled_ms: Option<i64>,
    /// When this attempt was scheduled.
    pub attempt_scheduled_ms: Option<i64>,
    /// When it was handed out.
    pub started_ms: Option<i64>,
    /// Longest time from scheduling to the end; counts from this attempt's scheduling.
    pub schedule_to_close: Duration,
    /// Longest time from being handed out to the end.
    pub start_to_close: Duration,
    /// Longest time between two heartbeats, the hand-out counting as one.
    pub heartbeat: Duration,
}

impl Times {
    /// When the attempt ends unless it was answered, in milliseconds since the epoch; `None` when nothing limits it. Without
    /// regard to heartbeats.
    pub(super) fn deadline_ms(&self) -> Option<i64> {
        let end = |begin: Option<i64>, limit: Duration| {
            let limit = i64::try_from(limit.as_millis()).ok().filter(|limit| *limit > 0)?;
            begin?.checked_add(limit)
        };
        let by_start = end(self.started_ms, self.start_to_close);
        let by_schedule = end(self.attempt_scheduled_ms.or(self.scheduled_ms), self.schedule_to_close);
        by_start.into_iter().chain(by_schedule).min()
    }

    /// How long after its hand-out the attempt is lost, heartbeats aside. Counted from the hand-out and not by the wall
    /// clock, which need not be the engine's.
    pub(super) fn patience(&self) -> Option<Duration> {
        let (deadline, started) = self.deadline_ms().zip(self.started_ms)?;
        Some(Duration::from_millis(u64::try_from(deadline.saturating_sub(started)).unwrap_or(0)))
    }

    /// Pause between the heartbeats for an attempt that nobody else can heartbeat yet; `None` when none are expected. Two of
    /// three may fail.
    pub(super) fn heartbeat_pause(&self) -> Option<Duration> {
        (!self.heartbeat.is_zero()).then(|| self.heartbeat / 3)
    }

    /// Seconds between two heartbeats, as requests tell them.
    pub(super) fn heartbeat_seconds(&self) -> Option<u32> {
        u32::try_from(self.heartbeat.as_secs()).ok().filter(|seconds| *seconds > 0)
    }
}

/// How long after the hand-out an attempt with this patience is given up: `margin` before it is lost, but no earlier than
/// half-way.
pub(super) fn give_up_after(patience: Duration, margin: Duration) -> Duration {
    patience - margin.min(patience / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Scheduled at 1 s, this attempt at 10 s, handed out at 15 s.
    fn times(schedule_to_close: u64, start_to_close: u64, heartbeat: u64) -> Times {
        Times {
            scheduled_ms: Some(1_000),
            attempt_scheduled_ms: Some(10_000),
            started_ms: Some(15_000),
            schedule_to_close: Duration::from_secs(schedule_to_close),
            start_to_close: Duration::from_secs(start_to_close),
            heartbeat: Duration::from_secs(heartbeat),
        }
    }

    #[test]
    fn the_first_timeout_is_the_deadline_whatever_the_heartbeats() {
        for (limits, deadline_s, patience_s) in [
            ((60, 30, 0), Some(45), Some(30)),
            ((20, 30, 0), Some(30), Some(15)),
            ((60, 30, 10), Some(45), Some(30)),
            ((0, 30, 0), Some(45), Some(30)),
            ((60, 0, 0), Some(70), Some(55)),
            ((0, 0, 0), None, None),
            ((0, 0, 5), None, None),
            // Handed out after its time: the engine will say so by and by.
            ((3, 30, 0), Some(13), Some(0)),
        ] {
            let (schedule_to_close, start_to_close, heartbeat) = limits;
            let times = times(schedule_to_close, start_to_close, heartbeat);
            assert_eq!(times.deadline_ms(), deadline_s.map(|s: i64| s * 1000), "{limits:?}");
            assert_eq!(times.patience(), patience_s.map(Duration::from_secs), "{limits:?}");
        }
    }

    #[test]
    fn without_the_attempts_own_time_the_first_scheduling_counts() {
        let times = Times { attempt_scheduled_ms: None, ..times(60, 0, 0) };
        assert_eq!(times.deadline_ms(), Some(61_000));
    }

    #[test]
    fn giving_up_leaves_the_margin_or_half_of_a_short_time() {
        assert_eq!(give_up_after(30 * SECOND, 2 * SECOND), 28 * SECOND);
        assert_eq!(give_up_after(3 * SECOND, 2 * SECOND), 1500 * SECOND / 1000);
        assert_eq!(give_up_after(Duration::ZERO, 2 * SECOND), Duration::ZERO);
    }

    #[test]
    fn whole_seconds_between_heartbeats_or_none() {
        assert_eq!(times(1, 1, 60).heartbeat_seconds(), Some(60));
        assert_eq!(times(1, 1, 0).heartbeat_seconds(), None);
        assert_eq!(times(1, 1, 60).heartbeat_pause(), Some(20 * SECOND));
        assert_eq!(times(1, 1, 0).heartbeat_pause(), None);
    }
}
