//! What a workflow of the engine does: a list of activities, given as the workflow's input.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Input of a workflow, as JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What to run. An empty list completes the workflow at once.
    pub activities: Vec<ActivityPlan>,
    /// One activity after the other instead of all at once.
    #[serde(default)]
    pub sequential: bool,
    /// Whether the workflow stays open after its last activity has closed, until it is cancelled, terminated or timed out.
    #[serde(default)]
    pub stay_open: bool,
}

/// One activity of a workflow.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivityPlan {
    /// Its id, unique within the workflow.
    pub activity_id: String,
    /// Its type.
    pub activity_type: String,
    /// Its arguments; the worker gets them as Cadence's Go client encodes them, one JSON value per line.
    #[serde(default)]
    pub input: Vec<Value>,
    /// Longest time from start to close of one attempt, in seconds.
    #[serde(default = "default_start_to_close")]
    pub start_to_close_seconds: u32,
    /// Longest time between two heartbeats, in seconds; 0 = no heartbeats expected.
    #[serde(default)]
    pub heartbeat_seconds: u32,
    /// How failed and timed-out attempts are repeated; none = not at all.
    #[serde(default)]
    pub retry: Option<RetryPlan>,
}

/// When the engine repeats an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryPlan {
    /// Pause before the second attempt, in seconds.
    pub initial_interval_seconds: u32,
    /// Factor from one pause to the next.
    #[serde(default = "default_backoff")]
    pub backoff: f64,
    /// Attempts in all, the first one included.
    pub max_attempts: i32,
    /// Reasons that end the activity at once.
    #[serde(default)]
    pub non_retriable: Vec<String>,
}

fn default_start_to_close() -> u32 {
    3600
}

fn default_backoff() -> f64 {
    2.0
}

impl Plan {
    /// Activities that run at the same time.
    pub fn parallel(activities: impl IntoIterator<Item = ActivityPlan>) -> Plan {
        Plan { activities: activities.into_iter().collect(), sequential: false, stay_open: false }
    }

    /// The plan as a workflow's input.
    pub fn to_input(&self) -> Bytes {
        // A plan has only string keys and finite numbers, or it would not have been one; `null` is refused by `read`.
        serde_json::to_vec(self).unwrap_or_else(|_| b"null".to_vec()).into()
    }

    /// Reads a workflow's input.
    pub(super) fn read(input: &[u8]) -> Result<Plan, String> {
        let plan: Plan = serde_json::from_slice(input).map_err(|fault| fault.to_string())?;
        let mut seen = std::collections::HashSet::new();
        for activity in &plan.activities {
            activity.check()?;
            if !seen.insert(activity.activity_id.as_str()) {
                return Err(format!("activity_id {:?} is used twice", activity.activity_id));
            }
        }
        Ok(plan)
    }
}

impl RetryPlan {
    fn is_possible(&self) -> bool {
        self.initial_interval_seconds > 0 && self.max_attempts > 0 && self.backoff.is_finite() && self.backoff >= 1.0
    }
}

impl ActivityPlan {
    /// An activity with one hour to close, no heartbeats and no retries.
    pub fn new(activity_id: impl Into<String>, activity_type: impl Into<String>) -> ActivityPlan {
        ActivityPlan {
            activity_id: activity_id.into(),
            activity_type: activity_type.into(),
            input: Vec::new(),
            start_to_close_seconds: default_start_to_close(),
            heartbeat_seconds: 0,
            retry: None,
        }
    }

    fn check(&self) -> Result<(), String> {
        let id = &self.activity_id;
        if id.is_empty() || self.activity_type.is_empty() {
            return Err("activity_id and activity_type must not be empty".to_owned());
        }
        if self.start_to_close_seconds == 0 {
            return Err(format!("start_to_close_seconds of {id:?} must be at least 1"));
        }
        match &self.retry {
            Some(retry) if !retry.is_possible() => {
                Err(format!("retry of {id:?} needs initial_interval_seconds >= 1, backoff >= 1 and max_attempts >= 1"))
            }
            _ => Ok(()),
        }
    }

    /// The arguments as Cadence's Go client encodes them.
    pub(super) fn encoded_input(&self) -> Option<Bytes> {
        if self.input.is_empty() {
            return None;
        }
        let lines: String = self.input.iter().map(|value| format!("{value}\n")).collect();
        Some(Bytes::from(lines))
    }
}
