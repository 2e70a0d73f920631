//! The request side: activities of Cadence task lists become requests on Kafka. Knows neither Kafka nor Cadence, only the
//! two seams.
//!
//! The story of one activity is told in `task`; the loop that polls and starts stories is `worker`. What they rest on is
//! pure: `routes`, `times` and `request`, which writes the record.

pub mod seams;

mod task;
mod worker;

mod core;
mod doubts;
mod giving_up;
mod hand;
mod options;
mod pace;
mod poller;
mod watch;

mod reasons;
mod request;
mod routes;
mod times;

#[cfg(test)]
mod tests;

pub use core::Shared;
pub use options::Options;
pub use reasons::Reason;
pub use worker::{Ending, run};
