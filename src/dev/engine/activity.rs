//! One activity of a workflow and its attempts.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use super::plan::{ActivityPlan, RetryPlan};
use crate::cadence::api;

/// Reasons that no retry policy repeats: the payload would be as large the next time.
const NEVER_REPEATED: [&str; 3] = [COMPLETE_TOO_LARGE, CANCEL_TOO_LARGE, HEARTBEAT_TOO_LARGE];
pub(super) const COMPLETE_TOO_LARGE: &str = "COMPLETE_RESULT_EXCEEDS_LIMIT";
pub(super) const CANCEL_TOO_LARGE: &str = "CANCEL_DETAILS_EXCEEDS_LIMIT";
pub(super) const HEARTBEAT_TOO_LARGE: &str = "HEARTBEAT_EXCEEDS_LIMIT";
pub(super) const FAILURE_TOO_LARGE: &str = "FAILURE_DETAILS_EXCEEDS_LIMIT";

/// How an activity ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Completed, with or without a result.
    Completed,
    /// Failed, and not to be repeated.
    Failed,
    /// Canceled after the workflow asked for it.
    Canceled,
    /// The last attempt took longer than its start-to-close timeout.
    StartToClose,
    /// The last attempt was silent for longer than its heartbeat timeout.
    HeartbeatMissed,
}

/// The event that closed an activity.
#[derive(Clone, Debug, PartialEq)]
pub struct Closing {
    /// How it ended.
    pub ending: Ending,
    /// Id of the closing event in the workflow's history.
    pub event_id: i64,
    /// Who said so; empty for timeouts.
    pub identity: String,
    /// The result of a completed activity, the details of any other; `None` where the caller sent none.
    pub payload: Option<Bytes>,
    /// The reason of a failed activity.
    pub reason: Option<String>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// Waiting for a worker, or for the pause before the next attempt.
    Scheduled,
    Started(Started),
    Closed(Closing),
}

#[derive(Clone, Debug)]
pub(super) struct Started {
    /// Id of the started event; `None` while it is not in history, as for activities that may be repeated.
    pub(super) event_id: Option<i64>,
    pub(super) at: Instant,
    pub(super) time: SystemTime,
    pub(super) worker: String,
}

#[derive(Debug)]
pub(super) struct Activity {
    pub(super) plan: ActivityPlan,
    pub(super) input: Option<Bytes>,
    pub(super) schedule_id: i64,
    pub(super) attempt: i32,
    pub(super) phase: Phase,
    pub(super) scheduled_time: SystemTime,
    pub(super) attempt_scheduled_time: SystemTime,
    pub(super) last_heartbeat: Option<(Instant, SystemTime)>,
    pub(super) heartbeat_details: Option<Bytes>,
    pub(super) heartbeats: u64,
    /// Id of the event with which the workflow asked for cancellation.
    pub(super) cancel_requested: Option<i64>,
    pub(super) last_failure: Option<api::Failure>,
    pub(super) last_worker: String,
}

impl Activity {
    pub(super) fn new(plan: ActivityPlan, schedule_id: i64, now: SystemTime) -> Activity {
        Activity {
            input: plan.encoded_input(),
            plan,
            schedule_id,
            attempt: 0,
            phase: Phase::Scheduled,
            scheduled_time: now,
            attempt_scheduled_time: now,
            last_heartbeat: None,
            heartbeat_details: None,
            heartbeats: 0,
            cancel_requested: None,
            last_failure: None,
            last_worker: String::new(),
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        !matches!(self.phase, Phase::Closed(_))
    }

    pub(super) fn started(&self) -> Option<&Started> {
        match &self.phase {
            Phase::Started(started) => Some(started),
            _ => None,
        }
    }

    /// The pause before the next attempt, or `None` if a failure for this reason ends the activity.
    fn pause(&self, reason: &str) -> Option<Duration> {
        let retry: &RetryPlan = self.plan.retry.as_ref()?;
        let spent = self.attempt >= retry.max_attempts - 1;
        let forbidden = NEVER_REPEATED.contains(&reason) || retry.non_retriable.iter().any(|known| known == reason);
        if self.cancel_requested.is_some() || spent || forbidden {
            return None;
        }
        let seconds = f64::from(retry.initial_interval_seconds) * retry.backoff.powi(self.attempt);
        // Whole seconds, as in the real server; the cap keeps a large factor from overflowing the clock.
        Some(Duration::from_secs((seconds as u64).clamp(1, 86_400)))
    }

    /// Prepares the next attempt after a failure, if there is one, and says after which pause it starts.
    pub(super) fn repeat(&mut self, failure: &api::Failure, now: SystemTime) -> Option<Duration> {
        let pause = self.pause(&failure.reason)?;
        if let Phase::Started(started) = std::mem::replace(&mut self.phase, Phase::Scheduled) {
            self.last_worker = started.worker;
        }
        self.attempt += 1;
        self.attempt_scheduled_time = now + pause;
        self.last_failure = Some(failure.clone());
        Some(pause)
    }

    /// When the running attempt is overdue for want of heartbeats.
    pub(super) fn heartbeat_due(&self) -> Option<Instant> {
        let started = self.started()?;
        let timeout = Duration::from_secs(u64::from(self.plan.heartbeat_seconds));
        let since = self.last_heartbeat.map_or(started.at, |(at, _)| at.max(started.at));
        (!timeout.is_zero()).then(|| since + timeout)
    }
}
