//! Counting one run: allocations in the process itself, instructions under callgrind. What begins and ends a process cancels
//! out: a scenario is run with few records and with many, and the difference is that of the records between.

use std::env;
use std::io;
use std::process::{Command, Output};

use serde::{Deserialize, Serialize};

use crate::play::MAX_RECORDS;

/// Records of the short run: as many as may be in hand at once, and some. Pools and buffers have their size by then.
const FEW: usize = 500;

/// Runs that allocations are counted in. Behind a socket one in ten is a few per cent off, with what was in hand at once.
const RUNS: usize = 9;

/// What one record costs.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Count {
    /// Machine instructions of all threads, as callgrind counts them. None where they would say more about the machine
    /// than about the program.
    pub(crate) instructions: Option<f64>,
    /// Calls of the allocator that bring memory, on the thread of the bridge.
    pub(crate) allocations: f64,
    /// Bytes that they asked for.
    pub(crate) bytes: f64,
}

/// Counts a scenario.
///
/// # Errors
/// When it could not be run, with its own words.
pub(crate) fn count(scenario: &str, instructions: bool) -> Result<Count, String> {
    let (few, many) = (allocated(scenario, FEW)?, allocated(scenario, MAX_RECORDS)?);
    let instructions = match instructions {
        true => Some(per_record(executed(scenario, FEW)?, executed(scenario, MAX_RECORDS)?)),
        false => None,
    };
    Ok(Count { instructions, allocations: per_record(few.0, many.0), bytes: per_record(few.1, many.1) })
}

/// Rounded to a hundredth: what is left of a growing table does not count.
fn per_record(few: u64, many: u64) -> f64 {
    let records = (MAX_RECORDS - FEW) as f64;
    ((many as f64 - few as f64) / records * 100.0).round() / 100.0
}

/// Allocations and bytes of the median of [`RUNS`] runs.
fn allocated(scenario: &str, records: usize) -> Result<(u64, u64), String> {
    let mut runs = (0..RUNS).map(|_| allocated_once(scenario, records)).collect::<Result<Vec<_>, _>>()?;
    let mut median = |figure: fn(&(u64, u64)) -> u64| {
        runs.sort_by_key(figure);
        figure(&runs[RUNS / 2])
    };
    Ok((median(|run| run.0), median(|run| run.1)))
}

fn allocated_once(scenario: &str, records: usize) -> Result<(u64, u64), String> {
    let me = env::current_exe().map_err(|error| error.to_string())?;
    let output = ended(Command::new(me).args(["play", scenario, &records.to_string()]).output())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(count)), Some(Ok(bytes))) => Ok((count, bytes)),
        _ => Err(format!("a run of {scenario} ended without its figures: {text}")),
    }
}

/// Instructions of a run.
fn executed(scenario: &str, records: usize) -> Result<u64, String> {
    let me = env::current_exe().map_err(|error| error.to_string())?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(me);
    let output = ended(valgrind.args(["play", scenario, &records.to_string()]).output())
        .map_err(|error| format!("valgrind (Debian and Ubuntu: apt-get install valgrind): {error}"))?;
    // `==17== Collected : 123456789`
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.ok_or_else(|| format!("callgrind did not tell its sum: {text}"))
}

fn ended(output: io::Result<Output>) -> Result<Output, String> {
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}
