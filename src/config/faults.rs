//! What is wrong with the settings, and where it was written.

use std::fmt;
use std::path::PathBuf;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file, counted from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// This environment variable.
    Env(String),
    /// Nobody has set it.
    Default,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting as `section.field`; empty when the fault belongs to none.
    pub setting: String,
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong and what would be right. Never holds a secret.
    pub message: String,
}

/// Everything that is wrong; at least one fault. Displayed one per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.setting.is_empty() {
            write!(f, "{}", self.message)?;
        } else {
            write!(f, "{}: {}", self.setting, self.message)?;
        }
        match &self.origin {
            Origin::File { path, line } => write!(f, " ({}:{line})", path.display()),
            Origin::Env(name) => write!(f, " (environment variable {name})"),
            Origin::Default => Ok(()),
        }
    }
}
