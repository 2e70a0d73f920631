//! Many partitions and many entries: how long a start and a rebalance take, and what the ledger weighs.

use std::time::{Duration, Instant};

use handback::wire::{Fingerprint, LedgerEntry, names};
use rdkafka::message::{Header, OwnedHeaders};

use super::figures::percentiles;
use super::process::Process;
use super::sink::{Arrival, Sink, now};
use super::topics::Topics;

/// Replies a second while members come and go.
const RATE: usize = 2_000;

/// Applied answers that a starting process finds on the outcome topic.
const ENTRIES: usize = 100_000;

const PATIENCE: Duration = Duration::from_secs(120);

/// Replies that an earlier process has handled in each partition of topics that are in use. A broker maps the index files of a
/// partition into memory and touches them first when some kilobytes (`index.interval.bytes`) are there, which takes its time.
const EARLIER: usize = 32;

pub(crate) fn partitions(brokers: &str) {
    println!(
        "one process starts on {ENTRIES} remembered answers; another joins and leaves under {RATE} replies a second"
    );
    println!(
        "{:>10} {:>7} {:>14} {:>14} {:>24} {:>24} {:>24}",
        "partitions",
        "topics",
        "start to first",
        "start to all",
        "steady p50/p99/max ms",
        "join p50/p99/max ms",
        "leave p50/p99/max ms"
    );
    for count in [64, 512] {
        for in_use in [false, true] {
            measure(brokers, count, in_use);
        }
    }
}

fn measure(brokers: &str, count: i32, in_use: bool) {
    let sink = Sink::start(Duration::ZERO);
    let word = if in_use { "in use" } else { "new" };
    let topics = Topics::create(brokers, &format!("partitions-{count}-{in_use}"), count);
    let settings = topics.settings(&sink.endpoint);
    remembered(&topics, ENTRIES);
    if in_use {
        handled(&topics, &sink);
    }
    // One reply waits in each partition.
    let waiting = usize::try_from(count).unwrap();
    let mut written = sink.count() + waiting;
    topics.reply(0, waiting);
    topics.flush();
    let before = sink.count();
    let began = Instant::now();
    let mut first = Process::start(&settings);
    sink.wait_for(before + 1, PATIENCE);
    let to_first = began.elapsed();
    sink.wait_for(written, PATIENCE);
    let to_all = began.elapsed();
    first.wait_ready();
    let mut during = |act: &mut dyn FnMut(), seconds| {
        sink.take();
        let from = written;
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| topics.reply_steadily(from, RATE, Duration::from_secs(seconds)));
            std::thread::sleep(Duration::from_secs(1));
            act();
            written += writer.join().unwrap();
        });
        sink.wait_for(written, PATIENCE);
        delays(&sink.take())
    };
    let steady = during(&mut || {}, 6);
    let mut second = None;
    let join = during(&mut || second = Some(Process::start(&settings)), 15);
    let leave = during(&mut || second.take().unwrap().stop(), 15);
    println!(
        "{count:>10} {word:>7} {:>12.2} s {:>12.2} s {steady:>24} {join:>24} {leave:>24}",
        to_first.as_secs_f64(),
        to_all.as_secs_f64()
    );
    first.stop();
    sink.stop();
}

/// An earlier process has handled replies of every partition: batch by batch, as they come in use.
fn handled(topics: &Topics, sink: &Sink) {
    let round = usize::try_from(topics.partitions).unwrap() * EARLIER / 4;
    let mut earlier = Process::start(&topics.settings(&sink.endpoint));
    for number in 0..4 {
        topics.reply(number * round, round);
        topics.flush();
        sink.wait_for((number + 1) * round, PATIENCE);
    }
    earlier.wait_ready();
    earlier.stop();
}

fn delays(arrivals: &[Arrival]) -> String {
    let late: Vec<u32> = arrivals.iter().map(|(written, came)| came.saturating_sub(*written) as u32).collect();
    let max = late.iter().max().copied().unwrap_or_default();
    let (p50, p99) = percentiles(late);
    format!("{p50:.1} / {p99:.0} / {:.0}", f64::from(max) / 1000.0)
}

pub(crate) fn memory(brokers: &str) {
    println!("memory of one process by what its ledger remembers, 12 partitions, at rest after the ledger was read");
    println!("{:>10} {:>10} {:>12} {:>13}", "entries", "RSS MiB", "peak MiB", "bytes/entry");
    let mut empty = 0.0;
    for entries in [0, 100_000, 1_000_000] {
        let sink = Sink::start(Duration::ZERO);
        let topics = Topics::create(brokers, &format!("memory-{entries}"), 12);
        remembered(&topics, entries);
        topics.reply(0, 1);
        topics.flush();
        let mut settings = topics.settings(&sink.endpoint);
        settings.ledger.max_entries = 1_000_000;
        let mut process = Process::start(&settings);
        process.wait_ready();
        sink.wait_for(1, PATIENCE);
        let all = |metrics: &str| super::process::sum(metrics, "handback_ledger_entries") >= entries as f64;
        process.wait("through the ledger", all, "/metrics");
        let (rss, peak) = (process.memory_mib("VmRSS"), process.memory_mib("VmHWM"));
        if entries == 0 {
            empty = rss;
        }
        let each = if entries == 0 { 0.0 } else { (rss - empty) * 1024.0 * 1024.0 / entries as f64 };
        println!("{entries:>10} {rss:>10.1} {peak:>12.1} {each:>13.1}");
        process.stop();
        sink.stop();
    }
}

/// Outcomes of answers that were applied, as an earlier process has left them.
fn remembered(topics: &Topics, entries: usize) {
    let (outcomes, replies) = (topics.stage.topic("outcomes"), topics.stage.topic("replies"));
    let value = "x".repeat(700);
    for number in 0..entries {
        let mut target = [0; 16];
        target[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes());
        target[8..].copy_from_slice(&now().to_ne_bytes());
        let fingerprint = Fingerprint::from_bytes(target);
        let entry = LedgerEntry { target, fingerprint, idempotency_key: None, offset: number as i64 };
        let bytes = entry.to_bytes();
        let headers = OwnedHeaders::new()
            .insert(Header { key: names::OUTCOME, value: Some("applied") })
            .insert(Header { key: names::SOURCE_TOPIC, value: Some(&replies) })
            .insert(Header { key: names::ACTIVITY_TYPE, value: Some("ChargeCard") })
            .insert(Header { key: names::LEDGER, value: Some(&bytes) });
        topics.send(&outcomes, number as i32 % topics.partitions, &value, Some(&headers));
    }
    topics.flush();
}
