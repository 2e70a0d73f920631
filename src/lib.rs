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
//! As a program it is run with `handback run`. As a library it has these parts, and what is not listed here is the program's
//! own and may change at any time:
//!
//! | to | use |
//! |---|---|
//! | read requests and write replies, in a service | [`wire::Request`], [`wire::Answer`], [`publish::Publisher`] |
//! | publish a request, in an activity | [`wire::Request::to_record`], [`publish::Publisher`] |
//! | read outcomes | [`wire::Outcome`] |
//! | run the bridge inside a process of your own | [`config::Settings`], [`run()`], [`dispatch()`] |
//! | run it before another workflow engine | [`engine::Engine`], [`run_with`] |
//! | test any of it without Kafka and Cadence | [`testkit::Stack`] (feature `dev`) |

// Rooms in reading order; each may use those before it, never those after it.

pub mod wire;

pub mod config;

#[doc(hidden)]
pub mod admin;

#[doc(hidden)]
pub mod bridge;

#[doc(hidden)]
pub mod dispatch;

#[doc(hidden)]
pub mod cadence;
#[doc(hidden)]
pub mod kafka;

pub mod publish;

mod run;

#[cfg(feature = "dev")]
#[doc(hidden)]
pub mod dev;

#[cfg(feature = "dev")]
pub mod testkit;

#[doc(hidden)]
pub mod cli;

// Only the list of exit codes: it knows no other room, and all may use it.
pub mod exit;

pub use run::{Ended, dispatch, run, run_with};

/// What a workflow engine of your own has to be; see [`run_with`].
pub mod engine {
    pub use crate::bridge::seams::{Accepted, Call, CallError, DomainRef, Engine, Probed, Verdict, Wiring};
    pub use crate::bridge::sight::{
        CloseStatus, Closing, Content, History, LastFailure, Past, Pending, PendingState, Reach, Sight, Timeout,
        WorkflowSight,
    };
}
