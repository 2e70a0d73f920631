//! The simulation: schedules over the workers of a process between models of the engine and of the log, on a clock that stands
//! still while there is work to do.
//!
//! Everything that a schedule leaves open is asked of one source of [`choices`]: drawn by a seed (`schedules`), or every one
//! of them played (`exhaustive`). [`faults`] lists what can go wrong. What must hold at any time:
//!
//! - no offset passes a reply whose outcome is not acknowledged, nor a record of a retry topic that has not gone on
//!   (`log_model`), and a dead letter is there before its outcome (`books`);
//! - what an outcome says is what the engine has ([`activities`]);
//! - no reply waits longer than its own trouble explains, and whatever waits is visible ([`waits`]);
//! - what readiness says is so, and a repeat of what a worker has recorded itself costs no call ([`waits`]);
//! - a revoke is answered in time, and once everything is mended every reply has its outcome and every place is given back
//!   ([`group`]).

mod activities;
mod choices;
mod engine;
mod exhaustive;
mod faults;
mod group;
mod log;
mod play;
mod schedules;
mod story;
mod waits;
mod world;
