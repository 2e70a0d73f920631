//! The core: what becomes of a reply. Knows neither Kafka nor Cadence, only the two seams.
//!
//! The story of one record is told in `settle`; the loop that starts stories and moves offsets is `worker`. What they
//! rest on is pure: `offsets`, `lanes`, `ledger`, `breaker`, `flood`, `retry`, and `judge`, which tells from what a look into a
//! workflow showed (`sight`) why the engine did not find what a reply answers.

pub mod seams;

mod settle;
mod worker;

mod batches;
mod clock;
mod core;
mod crowding;
mod domains;
mod floodgate;
mod gate;
mod judge;
mod look;
mod named;
mod news;
mod options;
mod partitions;
mod places;
mod postponed;
mod records;
mod repeats;
mod retries;
mod tiers;
mod unforeseen;
pub(crate) mod unready;
mod watch;
mod windows;
mod work;

pub mod breaker;
pub mod flood;
pub mod lanes;
pub mod ledger;
pub mod offsets;
pub mod retry;
pub mod sight;

#[cfg(test)]
pub(crate) mod tests;

pub use batches::Batches;
pub use core::{Ailing, RateLimiter, Shared, rate_limiter};
pub use look::Policy as LookPolicy;
pub(crate) use options::retry_policy;
pub use options::{Options, Reads};
pub use postponed::Postponed;
pub use tiers::Tier;
pub use worker::{Ending, FirstLook, Intake, first_look, run, run_after};
