//! `[log]`: what is logged and how.

use serde::{Deserialize, Serialize};

use super::section::section;

section! {
    /// What is logged, and how. Logs go to stderr.
    pub struct Log {
        /// Level or filter directives, such as `info` or `handback=debug,librdkafka=warn`.
        pub filter: String = "info".into(),

        /// `text` for people, `json` for machines (one object a line).
        pub format: LogFormat = LogFormat::Text,
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
