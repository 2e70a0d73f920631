//! What a record costs in instructions and in allocations: figures that hardly wobble, so that a change which makes records
//! dearer is seen in CI and not in production. Compares with `baseline.toml` beside this package's manifest.
//!
//! | command | does |
//! |---|---|
//! | `handback-counts` | counts and compares; fails when something has grown by 3 % |
//! | `handback-counts --accept` | counts and takes the figures over as the baseline |
//! | `handback-counts play SCENARIO RECORDS` | one run; prints its allocations and their bytes |
//!
//! The last one is for profilers: `valgrind --tool=dhat target/release/handback-counts play bridge 2500` says where
//! records allocate, `--tool=callgrind` where their instructions are.
//!
//! The figures are those of the library's release build with glibc's allocator (the program uses mimalloc). They need not
//! be counted on one machine: valgrind shows every program the same processor, a Haswell, on any that has AVX2, so that
//! libc and others choose the same variants of `memcpy` and the like everywhere. A Haswell hashes SHA-256 in software, which
//! is a third of the bridge's instructions here and little on today's processors.

mod count;
mod play;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::{env, fs, thread};

use handback::admin::Metrics;
use handback::cadence::Client;
use handback::dev::engine;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use self::count::{Count, count};
use self::play::{BATCH, MAX_RECORDS};

/// More than this is growth.
const TOLERANCE: f64 = 0.03;

/// So is half an allocation: one that every other record makes is a hundredth of the client's.
const TOLERATED_ALLOCATIONS: f64 = 0.5;

/// The bridge between models of both seams.
const BRIDGE: &str = "bridge";

/// The same with handback's client before the embedded engine, over TCP.
const CLIENT: &str = "client";

/// The scenarios, and whether instructions are counted. Behind a socket they wobble by 1 %, and the sink's
/// are among them.
const SCENARIOS: [(&str, bool); 2] = [(BRIDGE, true), (CLIENT, false)];

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.toml");

const HEAD: &str = "# What one record costs: instructions, allocations and their bytes. Written by\n\
    # `cargo run --release -p handback-counts -- --accept`; CI fails when something grows by 3 %.\n";

/// What was counted, and with what: other versions count other instructions.
#[derive(Deserialize, Serialize)]
struct Baseline {
    counted_with: String,
    #[serde(flatten)]
    counts: BTreeMap<String, Count>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => check(),
        ["--accept"] => accept(),
        ["play", scenario, records] => play(scenario, records),
        _ => Err("usage: handback-counts [--accept | play SCENARIO RECORDS]".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<(), String> {
    let text = fs::read_to_string(BASELINE).map_err(|error| format!("{BASELINE}: {error}"))?;
    let before: Baseline = toml::from_str(&text).map_err(|error| format!("{BASELINE}: {error}"))?;
    let now = counted()?;
    let mut grown = Vec::new();
    println!("{:<10} {:<14} {:>10} {:>10}", "scenario", "per record", "baseline", "now");
    for (scenario, now) in &now.counts {
        let known =
            before.counts.get(scenario).filter(|known| known.instructions.is_some() == now.instructions.is_some());
        let before = known.ok_or_else(|| format!("not all of {scenario} is in {BASELINE}: run with --accept"))?;
        let rows = [
            ("instructions", before.instructions.zip(now.instructions), f64::INFINITY),
            ("allocations", Some((before.allocations, now.allocations)), TOLERATED_ALLOCATIONS),
            ("bytes", Some((before.bytes, now.bytes)), f64::INFINITY),
        ];
        for (what, pair, tolerated) in rows {
            let Some((before, now)) = pair else { continue };
            let percent = (now / before - 1.0) * 100.0;
            println!("{scenario:<10} {what:<14} {before:>10.2} {now:>10.2} {percent:>+7.2} %");
            if now - before > tolerated.min(before * TOLERANCE) {
                grown.push(format!("{scenario}: {what} per record grew from {before} to {now}, by {percent:.1} %"));
            }
        }
    }
    if before.counted_with != now.counted_with {
        println!("the baseline was counted with {}, this with {}", before.counted_with, now.counted_with);
    }
    if grown.is_empty() {
        return Ok(());
    }
    let accept = "If that is worth it: cargo run --release -p handback-counts -- --accept, and say why in the commit";
    grown.push(accept.to_owned());
    Err(grown.join("\n"))
}

fn accept() -> Result<(), String> {
    let counted = counted()?;
    let text = toml::to_string(&counted).map_err(|error| error.to_string())?;
    print!("{text}");
    fs::write(BASELINE, format!("{HEAD}{text}")).map_err(|error| format!("{BASELINE}: {error}"))
}

fn counted() -> Result<Baseline, String> {
    let counts =
        SCENARIOS.into_iter().map(|(scenario, instructions)| Ok((scenario.to_owned(), count(scenario, instructions)?)));
    Ok(Baseline { counted_with: versions(), counts: counts.collect::<Result<_, String>>()? })
}

/// The versions of what the figures depend on.
fn versions() -> String {
    let tools = [("rustc", "--version"), ("getconf", "GNU_LIBC_VERSION"), ("valgrind", "--version")];
    let version = |(tool, argument): (&str, &str)| {
        let output = Command::new(tool).arg(argument).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        output.map_or_else(|_| format!("no {tool}"), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    tools.map(version).join(", ")
}

fn play(scenario: &str, records: &str) -> Result<(), String> {
    let fits = |number: &usize| *number > 0 && number.is_multiple_of(BATCH) && *number <= MAX_RECORDS;
    let wrong = || format!("{records} is no multiple of {BATCH} up to {MAX_RECORDS}");
    let records: usize = records.parse().ok().filter(fits).ok_or_else(wrong)?;
    let mut settings = play::settings();
    let metrics = Arc::new(Metrics::new());
    let batches = play::batches();
    let runtime = runtime()?;
    let counted = match scenario {
        BRIDGE => {
            let engine = play::EngineModel { domain: "orders".into() };
            allocation_counter::measure(|| {
                runtime.block_on(play::play(engine, Arc::clone(&metrics), &settings, batches, records))
            })
        }
        CLIENT => {
            settings.cadence.endpoint = sink()?;
            let _inside = runtime.enter();
            let client = Client::connect(&settings.cadence, Arc::clone(&metrics)).map_err(|error| error.to_string())?;
            let engine = play::BeforeSink(client);
            allocation_counter::measure(|| {
                runtime.block_on(play::play(engine, Arc::clone(&metrics), &settings, batches, records))
            })
        }
        _ => return Err(format!("{scenario} is no scenario")),
    };
    let applied = format!("handback_outcomes_total{{outcome=\"applied\"}} {records}\n");
    if !metrics.encode().contains(&applied) {
        return Err(format!("not every reply was applied:\n{}", metrics.encode()));
    }
    println!("{} {}", counted.count_total, counted.bytes_total);
    Ok(())
}

/// Starts an engine on a thread of its own, where nothing is counted as the bridge's, and answers its address.
fn sink() -> Result<String, String> {
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let serve = async {
            let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
            let engine = engine::Engine::sink(listener).map_err(|error| error.to_string())?;
            Ok::<_, String>(engine)
        };
        let begun = runtime().and_then(|runtime| Ok((runtime.block_on(serve)?, runtime)));
        let endpoint = begun.as_ref().map(|(engine, _)| engine.endpoint()).map_err(String::clone);
        let _ = tell.send(endpoint);
        if let Ok((_engine, runtime)) = &begun {
            runtime.block_on(std::future::pending::<()>());
        }
    });
    told.recv().map_err(|error| error.to_string())?
}

fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}
