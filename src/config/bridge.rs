//! `[bridge]`: how much is in hand at once, and how work ends.

use std::time::Duration;

use super::human;
use super::section::section;

section! {
    /// How much is in hand at once, and how work ends.
    pub struct Bridge {
        // One core carries 17,000 to 40,000 replies a second; more than one is for machines with cores to spare.
        /// Pairs of consumer thread and worker in this process; each is a group member of its own.
        pub workers: usize = 1,

        // 64 to 256 calls in flight saturate a core; beyond that only latency grows.
        /// Records of one worker in calls at once.
        pub max_in_flight: usize = 256,

        // 256 records of 128 KiB, or 16 of the largest: what a container of 128 MiB can hold beside everything else.
        /// Bytes of one worker's records in hand at once, and of those that are held back for anything but to be due. One partition has at most half of what is free.
        pub max_in_flight_bytes: usize = 32 * 1024 * 1024,

        // Acknowledgements take milliseconds and arrive in bulk: at 50,000 records a second and 8 ms some 400 are waited for.
        /// Records of one worker whose outcome is being written. One partition has at most half of what is free.
        pub max_recording: usize = 4096,

        // What one stuck record may cause to be repeated after a crash, and what its partition holds in memory.
        /// How far a partition may be ahead of its oldest unsettled record, in records.
        pub max_gap: usize = 10_000,

        // Replies of one activity are handled one after the other, and an activity has one answer: more than a few is a fault.
        /// Answers to one activity that may wait for each other in place; with more of them, none does and they leave for a retry topic.
        pub max_lane_depth: usize = 64,

        // Cadence's limit. Above it the server says OK and fails the activity.
        /// Largest result, details or failure details, in bytes.
        pub max_payload_bytes: usize = 2 * 1024 * 1024,

        // Two call deadlines and some; below the 30 s that Kubernetes waits before it kills.
        /// How long a stopping process lets work in hand finish. Must be below `kafka.session_timeout`.
        #[serde(with = "human")]
        pub drain_timeout: Duration = Duration::from_secs(25),

        // The whole group waits for the slowest member's revoke; measured drains took 9 to 56 ms.
        /// How long a revoked partition's work in hand may finish. Must be below `kafka.session_timeout`.
        #[serde(with = "human")]
        pub revoke_timeout: Duration = Duration::from_secs(2),

        // Ten stores for each commit: what a crash repeats is bounded by the commit, not by this.
        /// How often finished offsets are handed to the consumer.
        #[serde(with = "human")]
        pub offset_interval: Duration = Duration::from_millis(100),
    }
}
