//! The only room that knows rdkafka.

pub mod client;
pub mod cluster;
pub mod topics;
