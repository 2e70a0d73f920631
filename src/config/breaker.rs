//! `[breaker]`: when the engine as a whole counts as down.

use std::time::Duration;

use super::human;
use super::section::section;

section! {
    /// When the engine as a whole counts as down.
    pub struct Breaker {
        // One call deadline: an engine that answers nothing is noticed after one round of calls.
        /// Failures are counted over this long.
        #[serde(with = "human")]
        pub window: Duration = Duration::from_secs(10),

        // One workflow in trouble, or one lost shard, is not an outage.
        /// Fewer distinct workflows than this in the window never open the breaker.
        pub min_workflows: usize = 5,

        /// Share of workflows with a transient failure that opens it: above 0, up to 1.
        pub failure_share: f64 = 0.5,

        // A restart of the engine takes 7 to 23 s: a probe each 2 s adds little to that.
        /// How often the engine is probed while the breaker is open.
        #[serde(with = "human")]
        pub probe_interval: Duration = Duration::from_secs(2),
    }
}
