//! The whole worker against models of both seams, on a clock that stands still while there is work to do.

mod log_model;
mod model;
mod support;

mod crowds;
mod endings;
mod engine_unwell;
mod heartbeats;
mod judging;
mod ledger;
mod limits;
mod looks;
mod order;
mod outcomes;
mod partitions;
mod retries;
mod schedules;
mod secrets;
mod writing;
