//! `[retry]`: trying one call again, in place and on the retry topics.

use std::time::Duration;

use super::human;
use super::section::section;

section! {
    /// Trying a call again, in place and on the retry topics.
    pub struct Retry {
        // With the delays below four pauses, 0.75 s at most: longer troubles are the breaker's business.
        /// Calls for one record before it is spent.
        pub max_attempts: u32 = 5,

        // Several times the 2 to 10 ms of a healthy call.
        /// First delay.
        #[serde(with = "human")]
        pub initial: Duration = Duration::from_millis(50),

        /// Each delay is this many times the one before.
        pub multiplier: f64 = 2.0,

        // A record in back-off holds a place in a bounded window.
        /// Longest delay.
        #[serde(with = "human")]
        pub max: Duration = Duration::from_secs(2),

        // Records that failed together must not come back together.
        /// Each delay is shortened at random by up to this share of itself: 0 to 1.
        pub jitter: f64 = 0.5,

        // The server's limiter works in seconds.
        /// Added to the delay when the engine says that it is busy.
        #[serde(with = "human")]
        pub busy_extra: Duration = Duration::from_secs(1),

        // Rare enough to cost the engine nothing, often enough to be noticed as recovered.
        /// Pause between the tries of a record whose attempts are spent.
        #[serde(with = "human")]
        pub spent: Duration = Duration::from_secs(10),

        // A failover that nobody finished, a domain that nobody registered: somebody was called by then.
        /// How long a reply may go around on the last retry topic because somebody has to mend something (a domain that fails
        /// over or is unknown, a missing right) before it is `exhausted`.
        #[serde(with = "human")]
        pub max_parked: Duration = Duration::from_secs(24 * 60 * 60),
    }
}
