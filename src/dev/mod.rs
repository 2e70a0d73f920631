//! Everything `handback dev` and the tests run in-process instead of installing it.

pub mod engine;
