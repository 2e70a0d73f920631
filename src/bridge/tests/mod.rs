//! The whole worker against models of both seams, on a clock that stands still while there is work to do.

mod log_model;
mod model;
mod replies;
mod support;
mod time;

mod books;
mod clocks;
mod crowded_lanes;
mod crowds;
mod domains;
mod endings;
mod engine_unwell;
mod flood;
mod flood_delays;
mod flood_stops;
mod heartbeats;
mod judging;
mod ledger;
mod limits;
mod look_crowds;
mod looks;
mod looks_first;
mod order;
mod outcomes;
mod parked;
mod partitions;
mod retries;
mod retry_topics;
pub(crate) mod secrets;
mod shards;
mod shared_looks;
mod simulation;
mod sizes;
mod unwritable;
mod writing;
