//! `[topics]`: the names of the topics of `docs/wire-contract.md`, section 1.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::section::section;

section! {
    /// Names of the topics.
    pub struct Topics {
        /// Where activities publish their task token and input.
        pub requests: String = "activity-requests".into(),

        /// Where services answer; all of them are read.
        pub replies: Vec<String> = vec!["activity-replies".into()],

        /// Where handback records what became of each reply.
        pub outcomes: String = "activity-outcomes".into(),

        /// Where replies go that cannot be applied.
        pub dead_letters: String = "activity-replies-dlq".into(),

        // Three tiers: a restart, a deployment, an outage somebody has to get up for.
        /// Retry tiers, shortest delay first; each name ends in its delay (`-30s`, `-5m`, `-1h`).
        /// None: what cannot be tried again in place waits there.
        pub retry: Vec<String> = ["30s", "5m", "1h"].map(|delay| format!("activity-replies-retry-{delay}")).into(),

        /// Reply topics whose payloads in header mode and in CloudEvents must be JSON (checked only, bytes unchanged).
        pub require_json: Vec<String> = Vec::new(),

        // Replies that retention has removed are activities that nobody will ever answer: a person should know first.
        /// When retention has removed records that were not read yet: `stop` the partition and say so, or `continue`.
        pub on_retention_gap: OnRetentionGap = OnRetentionGap::Stop,

        // What stood on the old topic and was not settled is gone: a person should know first.
        /// Reply and retry topics that were deleted and made again and may be read, each as `topic=id` with its new topic id, as
        /// `/readyz` names it. They are read from their beginning.
        pub accept_recreated: Vec<String> = Vec::new(),
    }
}

impl Topics {
    /// `accept_recreated` as topic and id. An entry of another form is a fault of the settings and is left out.
    #[must_use]
    pub fn accepted(&self) -> Vec<(String, String)> {
        let pairs = self.accept_recreated.iter().filter_map(|entry| entry.split_once('='));
        pairs.map(|(topic, id)| (topic.to_owned(), id.to_owned())).collect()
    }

    /// The delay that the name of a retry topic ends in.
    #[must_use]
    pub fn delay_of(retry_topic: &str) -> Option<Duration> {
        let (_, delay) = retry_topic.rsplit_once('-')?;
        humantime::parse_duration(delay).ok().filter(|delay| !delay.is_zero())
    }
}

/// What to do when a committed offset is older than anything the broker still has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRetentionGap {
    /// The partition is not read; the process is unready and names the gap.
    Stop,
    /// The gap is logged and reading goes on with the oldest record there is.
    Continue,
}
