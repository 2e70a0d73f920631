//! One peer on a stage of its own, judged from outside: full load cold and warm, then low load, then its offsets.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::{Instant, interval, sleep};

use super::peer::{Peer, Running};
use super::sink::{Mark, SENT, Sink, now_us};
use super::theatre::figures::Stage;
use super::theatre::stage::{PARTITIONS, create, envelope, fill};

/// Longest wait for a mark: a cold JVM needs seconds, a peer that hangs must not hang the bench.
const PATIENCE: Duration = Duration::from_secs(120);

/// Low load: a record each 10 ms.
const LOW_LOAD_STEP: Duration = Duration::from_millis(10);

/// What all peers get.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) brokers: String,
    /// Records of the cold half, and of the warm one.
    pub(crate) records: usize,
    pub(crate) window: usize,
    pub(crate) partitions: usize,
    /// An answer takes 0 to this many milliseconds at random.
    pub(crate) pause_ms: usize,
    /// Seconds at a hundred records a second, after the full load.
    pub(crate) low_seconds: usize,
}

impl Rules {
    pub(crate) fn new(brokers: &str, records: usize, window: usize, low_seconds: usize) -> Self {
        Self { brokers: brokers.to_owned(), records, window, partitions: PARTITIONS, pause_ms: 0, low_seconds }
    }
}

/// One half of the records.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Half {
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// CPU of the process for each record, microseconds.
    pub(crate) cpu_us: f64,
}

/// The figures of one run of one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// The first half: from the first call on, its CPU from the start of the process on.
    pub(crate) cold: Half,
    /// The second half, in the same process.
    pub(crate) warm: Half,
    pub(crate) peak_mib: f64,
    /// From the start of the process to its first call.
    pub(crate) first_call_ms: f64,
    /// From just before a record is produced to the arrival of its call, at low load; zero where that was not played.
    pub(crate) low_p50_ms: f64,
    pub(crate) low_p99_ms: f64,
}

pub(crate) fn play(role: &str, peer: Peer, sink: &mut Sink, rules: &Rules, turn: usize) -> Figures {
    let stage = set(peer, &sink.address, rules, turn);
    let total = 2 * rules.records;
    fill(&stage, total, rules.partitions as i32);
    sink.expect(&[rules.records, total], rules.pause_ms);
    let started_us = now_us();
    let mut running = peer.start(role, &stage);
    sink.judge(running.child.id());
    let [first, half, end] = [1, rules.records, total].map(|records| mark(sink, &mut running, records));
    let mut late = trickle(&stage, rules, sink, &mut running);
    let (repeats, _) = sink.tell();
    if repeats > 0 {
        running.fail(&format!("{} called {repeats} times for records that it had called for", peer.title()));
    }
    must_commit(&stage, (total + late.len()) as i64, rules.partitions, &mut running);
    let (low_p50_ms, low_p99_ms) = percentiles(&mut late);
    Figures {
        cold: part(rules.records, &first, &half, half.cpu_us),
        warm: part(rules.records, &half, &end, end.cpu_us - half.cpu_us),
        peak_mib: end.peak_kib as f64 / 1024.0,
        first_call_ms: (first.at_us - started_us) as f64 / 1000.0,
        low_p50_ms,
        low_p99_ms,
    }
}

/// Topics that only this run uses: what one peer leaves behind cannot meet the next.
pub(crate) fn set(peer: Peer, address: &str, rules: &Rules, turn: usize) -> Stage {
    let run = format!("{}-{turn}-{}", std::process::id(), peer.key());
    let stage = Stage {
        brokers: rules.brokers.clone(),
        endpoint: format!("http://{address}"),
        // The bare loop ends by itself when it has as many as it was told; it is to stay like the others.
        records: 2 * rules.records + 100 * rules.low_seconds + 1,
        window: rules.window,
        group: format!("peers-{run}"),
        run,
        ..Stage::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for topic in ["replies", "outcomes", "dlq", "retry-30s", "retry-5m", "retry-1h"] {
        runtime.block_on(create(&stage, topic, rules.partitions as i32));
    }
    stage
}

fn mark(sink: &mut Sink, running: &mut Running, records: usize) -> Mark {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        running.must_run();
        if let Some(mark) = sink.mark(Duration::from_secs(1)) {
            assert_eq!(mark.records, records);
            return mark;
        }
    }
    running.fail(&format!("the sink saw no {records} records within {} s", PATIENCE.as_secs()))
}

fn part(records: usize, from: &Mark, to: &Mark, cpu_us: u64) -> Half {
    let seconds = (to.at_us - from.at_us) as f64 / 1e6;
    Half { seconds, per_second: records as f64 / seconds, cpu_us: cpu_us as f64 / records as f64 }
}

/// Produces slowly, each record carrying its time, until the sink has them all. Latencies in microseconds.
fn trickle(stage: &Stage, rules: &Rules, sink: &mut Sink, running: &mut Running) -> Vec<u64> {
    let count = rules.low_seconds * 1000 / LOW_LOAD_STEP.as_millis() as usize;
    let producer = slow_producer(&stage.brokers);
    let topic = stage.topic("replies");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut step = interval(LOW_LOAD_STEP);
        for number in 0..count {
            step.tick().await;
            let value = envelope(&format!("{SENT}{}", now_us()));
            let record = BaseRecord::<(), _>::to(&topic).partition((number % rules.partitions) as i32).payload(&value);
            producer.send(record).map_err(|(fault, _)| fault).unwrap();
        }
        producer.flush(Timeout::After(Duration::from_secs(10))).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, late) = sink.tell();
            if late.len() >= count {
                return late;
            }
            running.must_run();
            if Instant::now() > deadline {
                running.fail(&format!("of {count} records at low load the sink saw {}", late.len()));
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
}

/// Sends each record at once.
pub(crate) fn slow_producer(brokers: &str) -> ThreadedProducer<rdkafka::producer::DefaultProducerContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("linger.ms", "0").create().unwrap()
}

/// All peers do the whole work: in the end all that they were given must be committed.
fn must_commit(stage: &Stage, total: i64, partitions: usize, running: &mut Running) {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &stage.brokers).set("group.id", &stage.group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&stage.topic("replies"), 0, partitions as i32 - 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = consumer.committed_offsets(list.clone(), Duration::from_secs(10)).unwrap();
        let offset = |offset: Offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        let committed: i64 = found.elements().iter().map(|element| offset(element.offset())).sum();
        if committed == total {
            return;
        }
        running.must_run();
        if Instant::now() > deadline {
            running.fail(&format!("{committed} of {total} offsets are committed"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// p50 and p99 in milliseconds, of microseconds.
pub(crate) fn percentiles(late: &mut [u64]) -> (f64, f64) {
    late.sort_unstable();
    let at = |share: f64| late.get((late.len() as f64 * share) as usize).map_or(0.0, |us| *us as f64 / 1000.0);
    (at(0.5), at(0.99))
}
