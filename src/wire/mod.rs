//! The contract on the topics as types. Pure: no Kafka client, no gRPC, no runtime, no clock.

mod record;

pub use record::{Headers, Origin, OutRecord, Record};
