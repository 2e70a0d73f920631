//! Dispatching as a whole, against models of both seams, on paused time.

mod doubts;
mod model;

mod polling;
mod publishing;
mod requests;
mod secrets;
mod stopping;
