//! Settings: one TOML file, every field overridable by environment, all faults reported at once.
//!
//! One file per section. A section's struct holds each field with its default and the explanation that `handback
//! settings` prints; a comment beside it says why the default is that number.

mod section;

mod admin;
mod breaker;
mod bridge;
mod cadence;
mod dead_letters;
mod dispatch;
mod flood;
mod kafka;
mod ledger;
mod log;
mod lookup;
mod retry;
mod topics;

mod check;
mod faults;
mod file;
mod load;
mod names;
mod print;

mod human;
mod listen;
mod optional;
mod properties;
mod secrecy;
mod secret;

#[cfg(test)]
mod tests;

pub use admin::Admin;
pub use breaker::Breaker;
pub use bridge::Bridge;
pub use cadence::Cadence;
pub use check::MAX_WORKERS;
pub use dead_letters::DeadLetters;
pub use dispatch::{ANY_ACTIVITY, Dispatch, Route};
pub use faults::{Fault, Faults, Origin};
pub use flood::Flood;
pub use kafka::{GroupProtocol, Kafka};
pub use ledger::Ledger;
pub use log::{Log, LogFormat};
pub use lookup::Lookup;
pub use properties::Properties;
pub use retry::Retry;
pub use secrecy::secrets_in;
pub use secret::Secret;
pub use topics::{OnRetentionGap, Topics};

use serde::{Deserialize, Serialize};

/// Everything that can be set. A value obtained from [`Settings::load`] has passed every check.
///
/// `Settings::default()` is what an empty file gives; it lacks the one required field, `kafka.group_id`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The Kafka cluster and this process's place in its consumer group.
    pub kafka: Kafka,
    /// Names of the topics.
    pub topics: Topics,
    /// The Cadence frontend and how it is called.
    pub cadence: Cadence,
    /// How much is in hand at once, and how work ends.
    pub bridge: Bridge,
    /// Trying a call again, in place.
    pub retry: Retry,
    /// Looking into workflows.
    pub lookup: Lookup,
    /// When the engine as a whole counts as down.
    pub breaker: Breaker,
    /// When a topic of replies is stopped because of its dead letters.
    pub flood: Flood,
    /// What is remembered of applied answers.
    pub ledger: Ledger,
    /// Which optional outcomes are dead letters too.
    pub dead_letters: DeadLetters,
    /// Activities of Cadence task lists, published as requests.
    pub dispatch: Dispatch,
    /// Health and metrics over HTTP.
    pub admin: Admin,
    /// What is logged, and how.
    pub log: Log,
}
