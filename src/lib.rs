//! handback finishes Cadence activities from Kafka: every reply ends in a recorded outcome.

pub mod wire;

pub mod bridge;

pub mod cadence;
