//! `[ledger]`: what is remembered of applied answers.

use std::time::Duration;

use super::human;
use super::section::section;

section! {
    /// What is remembered of applied answers, so that a repeat is answered without a call.
    pub struct Ledger {
        /// Whether repeats are looked for before the engine is called. Without it the engine and its history decide.
        pub enabled: bool = true,

        // Producers that retry do so within minutes, operators who replay within a working day.
        /// Applied answers are remembered for this long.
        #[serde(with = "human")]
        pub max_age: Duration = Duration::from_secs(24 * 60 * 60),

        // At 64 bytes an entry 6 MiB; read in about a second.
        /// Applied answers remembered for each partition.
        pub max_entries: usize = 100_000,

        // 128 MiB, whatever the number of partitions.
        /// Applied answers remembered by each worker.
        pub max_total: usize = 2_000_000,

        // As long as a rebalance may hold up replies without anybody asking why.
        /// How long a partition waits for its ledger to be read from the outcome topic; then it is worked on without.
        #[serde(with = "human")]
        pub load_timeout: Duration = Duration::from_secs(30),
    }
}
