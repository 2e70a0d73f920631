//! `[lookup]`: looking into a workflow, to learn why the engine does not find what a reply answers.

use std::time::Duration;

use super::human;
use super::section::section;

section! {
    /// Looking into workflows: why the engine does not find an activity, and what stands before a `cancel`.
    pub struct Lookup {
        // Two calls of 2 to 30 ms each, for replies that came to nothing: a few percent of what a small engine carries.
        /// Look-ups a second of one worker. 0 means no limit.
        pub max_per_second: u32 = 100,

        // 100 batches of events a page: 5,000 batches are a workflow with more than a thousand activities.
        /// Pages of a workflow's history that are read for one look-up.
        pub max_pages: usize = 50,

        // Histories carry their payloads, and there is no way to leave them out. Read and dropped page by page.
        /// Bytes of a workflow's history that are read for one look-up.
        pub max_bytes: usize = 64 * 1024 * 1024,

        // As long as one call may take, several times what a history of the largest size allowed took.
        /// Longest look-up, and longest wait for its turn. After that the outcome is `not_found`.
        #[serde(with = "human")]
        pub timeout: Duration = Duration::from_secs(10),

        // An answer taken while the workflow decides shows when that decision ends: its timeout is 10 s by default.
        /// How long the event that closed an activity is looked for when it does not show yet.
        #[serde(with = "human")]
        pub patience: Duration = Duration::from_secs(15),

        // Replies that need it come together, after a crash or from one workflow. Only what cannot change is used again.
        /// How long what a look-up has seen of a workflow is remembered.
        #[serde(with = "human")]
        pub keep: Duration = Duration::from_secs(10),

        // What is on its way arrives within a second or two; a reply that waits here holds its partition's offset.
        /// How long a `cancel` waits in place for the workflow to ask for it, and a reply by id for its attempt to begin,
        /// before they leave for a retry topic.
        #[serde(with = "human")]
        pub wait: Duration = Duration::from_secs(2),
    }
}
