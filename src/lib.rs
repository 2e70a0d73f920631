//! handback finishes Cadence activities from Kafka: every reply ends in a recorded outcome, and no offset is committed
//! before that record is durable.
//!
//! ```text
//!  consumer thread (rdkafka)        worker: one thread, one current-thread runtime
//!  ┌────────────────────┐  batches  ┌──────────────────────────────────────────────────────────┐
//!  │ poll · pause ·     │──────────►│ decode ─► lane ─► settle ─► record ─► offsets            │
//!  │ rebalance · store  │◄──────────│ pure      order   call +    produce,  contiguous         │
//!  └────────────────────┘  commands │           per act. retry    all acks  prefix             │
//!                                   └──────────────────────────────────────────────────────────┘
//! ```
//!
//! Rooms in reading order; each may use those before it, never those after it. [`exit`] is only the list of exit codes:
//! it knows no other room, and all may use it.

pub mod wire;

pub mod config;

pub mod admin;

pub mod bridge;

pub mod dispatch;

pub mod cadence;
pub mod kafka;

mod run;

pub mod dev;

pub mod cli;

pub mod exit;

pub use run::{Ended, dispatch, run};
