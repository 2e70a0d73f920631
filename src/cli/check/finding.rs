//! One thing that was looked at.

use serde::Serialize;

use super::Level;

/// What was looked at, what was found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) area: Area,
    /// Topic, domain or part: what the finding is about.
    pub(super) subject: String,
    pub(super) what: String,
    /// How to fix it; absent when nothing needs fixing.
    pub(super) fix: Option<String>,
}

/// Where a finding belongs, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Area {
    Kafka,
    Topics,
    Engine,
    Domains,
    Secrets,
}

impl Area {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "Kafka",
            Self::Topics => "Topics",
            Self::Engine => "Engine",
            Self::Domains => "Domains",
            Self::Secrets => "Secrets",
        }
    }
}

impl Finding {
    pub(super) fn ok(area: Area, subject: &str, what: impl Into<String>) -> Self {
        Self { level: Level::Ok, area, subject: subject.to_owned(), what: what.into(), fix: None }
    }

    pub(super) fn warn(area: Area, subject: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Warn, area, subject: subject.to_owned(), what: what.into(), fix: Some(fix.into()) }
    }

    pub(super) fn fault(area: Area, subject: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fault, area, subject: subject.to_owned(), what: what.into(), fix: Some(fix.into()) }
    }
}
