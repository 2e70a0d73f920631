//! The only room that knows rdkafka: clients and topics, the consumer thread, the producer, and what Kafka's errors mean.

pub mod client;
pub mod cluster;
pub mod copies;
pub mod read_back;
pub mod send;
pub mod topics;

mod batch;
mod consumer;
mod deliveries;
mod errors;
mod fetching;
mod halts;
mod handover;
mod identity;
mod inbox;
mod lag;
mod membership;
#[allow(unsafe_code, reason = "calls of librdkafka that its Rust wrapper does not offer")]
pub(crate) mod native;
mod notes;
mod partitions;
mod positions;
mod produce_fault;
mod producer;
mod producer_client;
mod pump;
mod rebalance;
mod starting;
mod statistics;
mod turns;

pub use crate::bridge::Batches;
pub use consumer::{ConsumerHandle, ConsumerSpec, spawn};
pub use errors::{Condition, Error, Observer};
pub use positions::{Halt, OnGap};
pub use producer::{KafkaLog, Producer, ProducerSpec, cluster_id};
pub use read_back::ReaderSpec;
pub use topics::Seen;
