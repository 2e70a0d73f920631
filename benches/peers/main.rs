//! Peers, side by side: Go, the JVM with futures and with parallel-consumer, the bare loop in Rust, and handback with
//! everything on. Each is a process of its own on a real Kafka, reads the same records, and completes each activity
//! with one call to the same sink; all are judged from outside, the same way. `benches/peers/run` builds what is
//! missing and starts it; `README.md` beside this file says what each does, and how the comparison is kept fair.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `HANDBACK_BENCH_BROKERS` | the broker to use; `run` starts one | none |
//! | `HANDBACK_BENCH_RECORDS` | records of the cold half, and of the warm one | 100000 |
//! | `HANDBACK_BENCH_RUNS` | runs of each, of which the median counts | 3 |
//! | `HANDBACK_BENCH_WINDOW` | calls in flight | 256 |
//! | `HANDBACK_BENCH_LOW_SECONDS` | seconds at low load | 10 |
//! | `HANDBACK_BENCH_PEERS` | which peers: go,futures,parallel,official,bare,handback | all |
//! | `HANDBACK_BENCH_JAVA_OPTIONS` | options of the JVM | see `peer.rs` |
//! | `HANDBACK_BENCH_OUT` | folder for `peers.json` and `peers.svg` | none |

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on stops")]

mod closing;
mod game;
mod peer;
mod plot;
mod report;
mod sink;

/// The stage and the bare loop of the bench `end_to_end`, of which some parts are for that bench alone.
#[path = "../end_to_end"]
#[allow(dead_code, reason = "shared with another bench")]
mod theatre {
    pub(crate) mod bare;
    pub(crate) mod bridged;
    pub(crate) mod direct;
    pub(crate) mod figures;
    pub(crate) mod stage;
}

use std::env;

use game::Rules;
use peer::Peer;
use report::Report;
use sink::Sink;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Which part of the bench this process plays.
const ROLE: &str = "HANDBACK_BENCH_ROLE";

/// parallel-consumer's own table: so many records, answered after up to so many milliseconds, so many in flight.
const OWN_TABLE: (usize, usize, usize) = (10_000, 5, 100);

fn main() {
    match env::var(ROLE).as_deref() {
        Ok("sink") => sink::play(),
        Ok("bare") => drop(theatre::bare::play_plain(&theatre::figures::Stage::from_env())),
        Ok(other) => panic!("{ROLE}={other} is no part of this bench"),
        Err(_) => match env::var("HANDBACK_BENCH_BROKERS") {
            Ok(brokers) => compare(&brokers),
            Err(_) => println!("peers: needs a broker and the peers: benches/peers/run"),
        },
    }
}

fn compare(brokers: &str) {
    let runs = number("HANDBACK_BENCH_RUNS", 3);
    let records = number("HANDBACK_BENCH_RECORDS", 100_000);
    let window = number("HANDBACK_BENCH_WINDOW", 256);
    let load = Rules::new(brokers, records, window, number("HANDBACK_BENCH_LOW_SECONDS", 10));
    let (records, pause_ms, window) = OWN_TABLE;
    let own = Rules { pause_ms, partitions: 1, ..Rules::new(brokers, records, window, 0) };
    let peers = peers();
    let mut report = Report::new(&peers, &load, runs);
    let mut sink = Sink::start(ROLE);
    // In turn, so that what else happens on the machine meets all of them.
    for run in 0..runs {
        for peer in &peers {
            let figures = game::play(ROLE, *peer, &mut sink, &load, run);
            report.load(*peer, figures);
        }
    }
    for run in 0..runs {
        for peer in &peers {
            let figures = game::play(ROLE, *peer, &mut sink, &own, runs + run);
            report.own_table(*peer, figures);
        }
    }
    drop(sink);
    if peers.contains(&Peer::Handback) {
        for run in 0..runs {
            report.closing(closing::play(ROLE, &load, 2 * runs + run));
        }
    }
    report.print();
    if let Ok(folder) = env::var("HANDBACK_BENCH_OUT") {
        report.write(folder.as_ref());
    }
}

fn peers() -> Vec<Peer> {
    let wanted = env::var("HANDBACK_BENCH_PEERS").unwrap_or_default();
    let named = |name: &str| {
        let peer = Peer::ALL.into_iter().find(|peer| peer.key() == name.trim());
        peer.unwrap_or_else(|| panic!("{name} is no peer"))
    };
    let peers: Vec<Peer> = if wanted.is_empty() { Peer::ALL.to_vec() } else { wanted.split(',').map(named).collect() };
    for peer in &peers {
        assert!(peer.is_built(), "{} is not built: benches/peers/run", peer.title());
    }
    peers
}

fn number(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}
