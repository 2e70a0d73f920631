//! The rooms `wire` and `config` and the entry points of `tests/fuzzing`, compiled in by path: both rooms stand alone, and
//! a fuzzer that need not build librdkafka and gRPC is at work within a minute.

#![allow(dead_code, unused_imports, reason = "what only the other rooms use")]

// The entry points say `handback::wire`, as every user does.
extern crate self as handback;

#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/wire/mod.rs"]
pub mod wire;

#[path = "../../tests/fuzzing/mod.rs"]
mod entries;

/// Runs one entry point.
pub fn run(name: &str, bytes: &[u8]) {
    entries::run(name, bytes);
}
