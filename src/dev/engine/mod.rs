//! A development engine: Cadence's gRPC surface, as far as activities are concerned, in this process.
//!
//! Codes, texts, typed details and the shapes of answers on the wire are those of a real Cadence server, held to it by
//! one contract suite that runs against both (`tests/contract`). A workflow of the engine is a [`Plan`], a list of
//! activities given as the workflow's input. State lives in memory, behind one lock, and is never forgotten.
//!
//! Left out: decision tasks for callers, queries, signals, child workflows, archival, authorization, several clusters,
//! and the delay with which a real server shows events that arrive while a decision is being taken. The engine's
//! decisions take no time, so an answer that was taken is in the history at once.

mod books;
mod faults;
mod handle;
mod method;
mod plan;
mod refusal;
mod token;

mod activity;
mod agenda;
mod attempts;
mod clock;
mod core;
mod history;
mod reading;
mod requests;
mod respond;
mod run;
mod serve;
mod state;
mod workflows;
mod yarpc;

pub use activity::{Closing, Ending};
pub use books::{ActivityBook, ActivityState, Books, CloseStatus, WorkflowBook};
pub use core::Options;
pub use faults::{Effect, Faults, Outage, Rule};
pub use handle::{Attempt, Engine};
pub use method::Method;
pub use plan::{ActivityPlan, Plan, RetryPlan};
pub use refusal::Refusal;
