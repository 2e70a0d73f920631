//! Replies from Kafka to an engine, end to end: the bridge with everything on beside the bare loop (decode, call,
//! offsets; with tonic's client as it comes, and with handback's), in turn, in the same run. All three use handback's
//! consumer thread and decoder, and the same allocator.
//!
//! Broker and engine are processes of their own, so that CPU and memory are those of the process under test alone:
//! this program starts itself again for each part. Without `HANDBACK_BENCH_BROKERS` the broker is librdkafka's mock.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `HANDBACK_BENCH_BROKERS` | a real broker to use | the mock |
//! | `HANDBACK_BENCH_RECORDS` | records a run | 100000 |
//! | `HANDBACK_BENCH_RUNS` | runs of each, of which the median counts | 3 |
//! | `HANDBACK_BENCH_WINDOWS` | calls in flight | 64,256 |
//! | `HANDBACK_BENCH_ROWS` | which rows: `bare`, `bare-ours`, `bare-h2`, `bridge-no-ledger`, `bridge` | all |
//! | `HANDBACK_BENCH_RTT_MS` | how long the mock broker takes for an answer | 0 |
//! | `HANDBACK_BENCH_CONNECTIONS` | connections to the engine | as `cadence.connections` |
//! | `HANDBACK_BENCH_KAFKA` | properties for the Kafka clients, as `linger.ms=1 fetch.max.bytes=1000000` | |

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on stops")]

mod bare;
mod bridged;
mod direct;
mod figures;
mod stage;

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use figures::{Figures, Stage};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Which part of the bench this process plays.
const ROLE: &str = "HANDBACK_BENCH_ROLE";

/// Roles under test and what the table calls them. The last column sets the CPU of each beside the first.
const ROWS: [(&str, &str); 5] = [
    ("bare", "bare loop, tonic as it comes"),
    ("bare-ours", "bare loop, handback's client"),
    ("bare-h2", "bare loop, h2 directly"),
    ("bridge-no-ledger", "handback without ledger"),
    ("bridge", "handback, all on"),
];

fn main() {
    match env::var(ROLE).as_deref() {
        Ok("stage") => stage::play(number("HANDBACK_BENCH_RECORDS", 100_000)),
        Ok("bare") => bare::play_plain(&Stage::from_env()).print(),
        Ok("bare-ours") => bare::play_ours(&Stage::from_env()).print(),
        Ok("bare-h2") => bare::play_direct(&Stage::from_env()).print(),
        Ok("bridge-no-ledger") => bridged::play(&Stage::from_env(), false).print(),
        Ok("bridge") => bridged::play(&Stage::from_env(), true).print(),
        Ok(other) => panic!("{ROLE}={other} is no part of this bench"),
        Err(_) => compare(),
    }
}

fn compare() {
    // `cargo test --benches` only wants to see that it runs.
    let real = env::args().any(|arg| arg == "--bench");
    let records = number("HANDBACK_BENCH_RECORDS", if real { 100_000 } else { 2_000 });
    let runs = number("HANDBACK_BENCH_RUNS", if real { 3 } else { 1 });
    let windows = env::var("HANDBACK_BENCH_WINDOWS").unwrap_or_else(|_| "64,256".to_owned());
    let broker = env::var("HANDBACK_BENCH_BROKERS").unwrap_or_else(|_| "librdkafka mock".to_owned());
    let (mut theatre, stage) = set_stage(records);
    println!("{records} envelopes of {} bytes a run, median of {runs} runs, broker: {broker}\n", stage.envelope_bytes);
    println!("{}", Figures::heading());
    let wanted = env::var("HANDBACK_BENCH_ROWS").unwrap_or_default();
    let rows: Vec<_> =
        ROWS.iter().filter(|(role, _)| wanted.is_empty() || wanted.split(',').any(|row| row == *role)).collect();
    for window in windows.split(',').map(|w| w.trim().parse::<usize>().expect("a window is a number")) {
        let mut figures = vec![Vec::new(); rows.len()];
        for run in 0..runs {
            for ((role, _), figures) in rows.iter().zip(&mut figures) {
                figures.push(play(role, &stage, records, window, run));
            }
        }
        let figures: Vec<_> = figures.into_iter().map(Figures::median).collect();
        let bare = figures[0].cpu_us;
        for ((_, name), figures) in rows.iter().zip(&figures) {
            println!("{}  x{:.2}", figures.row(name, window), figures.cpu_us / bare);
        }
        println!();
    }
    let _ = theatre.kill();
    let _ = theatre.wait();
}

/// Starts broker and engine, and fills the reply topic.
fn set_stage(records: usize) -> (Child, Stage) {
    let mut child = Command::new(env::current_exe().unwrap())
        .env(ROLE, "stage")
        .env("HANDBACK_BENCH_RECORDS", records.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let stage = Stage::parse(&line).expect("the stage says where it stands");
    (child, stage)
}

fn play(role: &str, stage: &Stage, records: usize, window: usize, run: usize) -> Figures {
    let group = format!("{role}-{window}-{run}-{}", std::process::id());
    let output = Command::new(env::current_exe().unwrap())
        .env(ROLE, role)
        .envs(stage.to_env(records, window, &group))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Figures::parse(&text).unwrap_or_else(|| panic!("{role} gave no figures: {} {text}", output.status))
}

fn number(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}
