//! What dispatching is told.

use std::time::Duration;

use super::routes::{Routed, routed};
use crate::bridge::retry::Policy;
use crate::bridge::retry_policy;
use crate::config::Settings;

/// How activities are dispatched.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who polls and fails, as the engine shows it.
    pub identity: String,
    /// Polls of each task list at once.
    pub pollers: usize,
    /// Activities in hand at once, and polls that may bring one.
    pub max_in_hand: usize,
    /// Bytes in hand beyond which nothing is polled for.
    pub max_in_hand_bytes: usize,
    /// Activities a second; 0 is no limit.
    pub max_tasks_per_second: u32,
    /// How long before its deadline an activity is given up.
    pub give_up_before: Duration,
    /// Largest request in bytes.
    pub max_request_bytes: usize,
    /// How polls that fail are tried again.
    pub retry: Policy,
    /// Pause between two probes of the wiring.
    pub probe_interval: Duration,
    /// How long a stopping process may take.
    pub drain_timeout: Duration,
    /// Seed of everything random.
    pub seed: u64,
    pub(super) routed: Vec<Routed>,
}

impl Options {
    /// As the settings say.
    #[must_use]
    pub fn new(settings: &Settings, identity: String, seed: u64) -> Self {
        let Settings { dispatch, retry, .. } = settings;
        Self {
            identity,
            pollers: dispatch.pollers,
            max_in_hand: dispatch.max_in_hand,
            max_in_hand_bytes: dispatch.max_in_hand_bytes,
            max_tasks_per_second: dispatch.max_tasks_per_second,
            give_up_before: dispatch.give_up_before,
            max_request_bytes: dispatch.max_request_bytes,
            retry: retry_policy(retry),
            probe_interval: settings.breaker.probe_interval,
            drain_timeout: settings.bridge.drain_timeout,
            seed,
            routed: routed(settings),
        }
    }
}
