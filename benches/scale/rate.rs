//! Records a second: of one process by its workers, and of a group by its processes.

use std::time::{Duration, Instant};

use super::process::Process;
use super::sink::Sink;
use super::topics::Topics;

/// What an engine with its store takes for an answer.
const LATENCY: Duration = Duration::from_millis(5);

/// Calls in flight of each process: few, so that what bounds it is the engine's latency and not this machine.
const WINDOW: usize = 8;

/// How long a measurement lasts.
const SECONDS: usize = 8;

const PATIENCE: Duration = Duration::from_secs(120);

struct Seen {
    records_per_second: f64,
    cpu_us: f64,
    peak_mib: f64,
}

pub(crate) fn workers(brokers: &str) {
    println!("workers of one process, an engine that answers at once, 300,000 replies waiting in 16 partitions");
    println!("{:>8} {:>10} {:>11} {:>9}", "workers", "records/s", "CPU us/rec", "peak MiB");
    for workers in [1, 2] {
        let sink = Sink::start(Duration::ZERO);
        let topics = Topics::create(brokers, &format!("workers-{workers}"), 16);
        let mut settings = topics.settings(&sink.endpoint);
        settings.bridge.workers = workers;
        let records = 300_000;
        topics.reply(0, records);
        topics.flush();
        let Seen { records_per_second, cpu_us, peak_mib } = measured(&sink, vec![Process::start(&settings)], records);
        println!("{workers:>8} {records_per_second:>10.0} {cpu_us:>11.1} {peak_mib:>9.0}");
        sink.stop();
    }
}

pub(crate) fn processes(brokers: &str) {
    println!(
        "processes of one group, 32 partitions, an engine that answers after {LATENCY:?}, {WINDOW} calls in flight each"
    );
    println!("{:>9} {:>10} {:>11} {:>10} {:>11}", "processes", "records/s", "each", "efficiency", "CPU us/rec");
    let mut alone = 0.0;
    for count in [1, 2, 4, 8, 16] {
        let sink = Sink::start(LATENCY);
        let topics = Topics::create(brokers, &format!("processes-{count}"), 32);
        let mut settings = topics.settings(&sink.endpoint);
        settings.bridge.max_in_flight = WINDOW;
        let mut group: Vec<_> = (0..count).map(|_| Process::start(&settings)).collect();
        group.iter_mut().for_each(Process::wait_ready);
        shared_out(&mut group, topics.partitions);
        let expected = WINDOW * 1000 / 6 * count;
        let records = expected * SECONDS;
        topics.reply(0, records);
        topics.flush();
        let Seen { records_per_second, cpu_us, .. } = measured(&sink, group, records);
        if count == 1 {
            alone = records_per_second;
        }
        let each = records_per_second / count as f64;
        let efficiency = each / alone * 100.0;
        println!("{count:>9} {records_per_second:>10.0} {each:>11.0} {efficiency:>9.0}% {cpu_us:>11.1}");
        sink.stop();
    }
}

/// Until every partition has an owner, and each process some of them.
fn shared_out(group: &mut [Process], partitions: i32) {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let owned = |process: &Process| {
            let metrics = process.get("/metrics").unwrap_or_default();
            metrics.lines().filter(|line| line.starts_with("handback_lag_records{")).count()
        };
        let owned: Vec<usize> = group.iter().map(owned).collect();
        if owned.iter().sum::<usize>() == partitions as usize && owned.iter().all(|count| *count > 0) {
            return;
        }
        assert!(Instant::now() < give_up, "partitions by process: {owned:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Between a tenth and nine tenths of the answers; stops the processes.
fn measured(sink: &Sink, group: Vec<Process>, records: usize) -> Seen {
    let cpu = || group.iter().map(Process::cpu_seconds).sum::<f64>();
    let (from, to) = (records / 10, records - records / 10);
    sink.wait_for(from, PATIENCE);
    let (began, first, cpu_began) = (Instant::now(), sink.count(), cpu());
    sink.wait_for(to, PATIENCE);
    let (took, answers, cpu_took) = (began.elapsed(), sink.count() - first, cpu() - cpu_began);
    let peak_mib = group.iter().map(|process| process.memory_mib("VmHWM")).fold(0.0, f64::max);
    sink.wait_for(records, PATIENCE);
    group.into_iter().for_each(Process::stop);
    Seen { records_per_second: answers as f64 / took.as_secs_f64(), cpu_us: cpu_took * 1e6 / answers as f64, peak_mib }
}
