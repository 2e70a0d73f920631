//! How handback grows: workers in a process, processes in a group, partitions, and entries in the ledger. The processes are
//! `handback run` as it is shipped, with everything on; the broker is real; the engine is a sink in this process.
//!
//! `benches/on-kafka cargo bench --bench scale [-- PART...]`; parts: `workers`, `processes`, `partitions`, `memory`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on stops")]
#![allow(clippy::disallowed_methods, reason = "real time, of real processes")]
#![allow(dead_code, reason = "the stage is shared with the bench end_to_end")]

#[path = "../end_to_end/figures.rs"]
mod figures;
mod partitions;
mod process;
mod rate;
mod sink;
#[path = "../end_to_end/stage.rs"]
mod stage;
mod topics;

use std::env;

/// Prints a table, given the brokers.
type Part = fn(&str);

const PARTS: [(&str, Part); 4] = [
    ("workers", rate::workers),
    ("processes", rate::processes),
    ("partitions", partitions::partitions),
    ("memory", partitions::memory),
];

fn main() {
    let Ok(brokers) = env::var("HANDBACK_BENCH_BROKERS") else {
        return println!("HANDBACK_BENCH_BROKERS is not set: benches/on-kafka starts a broker and sets it");
    };
    let named: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, part) in PARTS {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            part(&brokers);
            println!();
        }
    }
}
