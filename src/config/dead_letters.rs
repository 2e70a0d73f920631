//! `[dead_letters]`: which of the optional outcomes are dead letters too.

use super::section::section;

section! {
    /// Which optional outcomes are written to the dead-letter topic too. On by default: somebody's work was not used.
    pub struct DeadLetters {
        /// The engine has started a later attempt since.
        pub superseded: bool = true,

        /// The activity was closed by a timeout.
        pub timed_out: bool = true,

        /// The workflow is over.
        pub workflow_closed: bool = true,

        /// The engine does not find the activity, and it was not learnt why.
        pub not_found: bool = true,
    }
}
