//! handback finishes Cadence activities from Kafka: every reply ends in a recorded outcome.

pub mod wire;

pub mod admin;
pub mod config;

pub mod bridge;

pub mod cadence;
pub mod kafka;

pub mod dev;

pub mod exit;
