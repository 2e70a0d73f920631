//! All integration tests in one binary: linking librdkafka once is what keeps `cargo test` short.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod cli;
mod compose;
mod contract;
mod dev;
mod documents;
mod earlier_versions;
mod engine;
mod fuzzing;
mod kafka_fetch;
mod kafka_headers;
mod kafka_offsets;
mod kafka_oidc;
mod kafka_positions;
mod kafka_producer;
mod kafka_read_back;
mod kafka_rebalance;
mod kafka_support;
mod kafka_trouble;
mod library;
mod process;
mod scenarios_answers;
mod scenarios_dispatch;
mod scenarios_engine;
mod scenarios_flood;
mod scenarios_limits;
mod scenarios_log;
mod scenarios_payloads;
mod scenarios_process;
mod scenarios_ready;
mod scenarios_reasons;
mod scenarios_repeats;
mod scenarios_retry;
mod support;
mod tidy;
