//! What the ledger costs: in memory for each record, and read from a broker when a partition comes.
//!
//! The second part needs a real broker: `HANDBACK_BENCH_BROKERS=127.0.0.1:9092 cargo bench --bench ledger`. It writes
//! outcomes of 700 bytes to a topic of its own, reads them back the way a worker does, and prints seconds and bytes.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on stops")]

use std::env;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use handback::bridge::ledger::{Bounds, Ledger};
use handback::bridge::seams::{ReadBack, Reading, Remembered};
use handback::config::Settings;
use handback::kafka;
use handback::kafka::read_back::{LedgerReader, ReaderSpec, spawn};
use handback::wire::{Fingerprint, LedgerEntry, names};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use tokio::time::Instant;

const NOW: i64 = 1_795_341_607_000;
const BOUNDS: Bounds = Bounds { max_age_s: 86_400, max_entries: 1_000_000, max_total: 2_000_000 };

/// Bytes of an outcome's document.
const OUTCOME: usize = 700;

fn entry(number: u64) -> LedgerEntry {
    let mut target = [0; 16];
    target[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes());
    target[8..].copy_from_slice(&number.to_ne_bytes());
    LedgerEntry {
        target,
        fingerprint: Fingerprint::from_bytes(target),
        idempotency_key: None,
        offset: number.cast_signed(),
    }
}

fn filled(entries: u64) -> Ledger {
    let mut ledger = Ledger::new(BOUNDS);
    for number in 0..entries {
        ledger.remember(0, &Remembered { entry: entry(number), topic: Some(0), at_ms: NOW }, NOW);
    }
    ledger
}

fn in_memory(criterion: &mut Criterion) {
    let mut ledger = filled(1_000_000);
    println!(
        "1,000,000 entries: {} MiB, {:.1} bytes each",
        ledger.bytes() >> 20,
        ledger.bytes() as f64 / ledger.len() as f64
    );
    let mut group = criterion.benchmark_group("ledger of 1,000,000");
    group.throughput(Throughput::Elements(1));
    let mut number = 0;
    group.bench_function("ask for a stranger, remember it, forget the oldest", |bencher| {
        bencher.iter(|| {
            let new = entry(1_000_000 + number);
            number += 1;
            let _ = black_box(ledger.ask(0, 0, &new, NOW));
            ledger.remember(0, &Remembered { entry: new, topic: Some(0), at_ms: NOW }, NOW);
        });
    });
    group.finish();
}

fn from_a_broker(brokers: &str) {
    for entries in [100_000, 1_000_000] {
        let topic = format!("bench-ledger-{entries}-{}", std::process::id());
        write(brokers, &topic, entries);
        let mut seconds: Vec<_> = (0..3).map(|_| load(brokers, &topic, entries)).collect();
        seconds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (took, bytes) = seconds[1];
        println!("{entries} entries read in {took:.2} s (median of 3), {bytes:.1} bytes each");
    }
}

/// One partition, as a worker takes it in.
fn load(brokers: &str, topic: &str, entries: u64) -> (f64, f64) {
    let mut settings = Settings::default();
    brokers.clone_into(&mut settings.kafka.brokers);
    "bench-ledger".clone_into(&mut settings.kafka.group_id);
    let spec = ReaderSpec {
        name: "ledger".to_owned(),
        config: kafka::client::reader(&settings.kafka, 0),
        topic: topic.into(),
        reply_topics: vec!["activity-replies".to_owned()],
        lookup_timeout: Duration::from_secs(10),
        load_timeout: Duration::from_secs(30),
    };
    let LedgerReader { asks, mut pieces } = spawn(spec).unwrap();
    let mut ledger = Ledger::new(BOUNDS);
    let began = Instant::now();
    let since = jiff::Timestamp::now().as_millisecond() - 86_400_000;
    asks.send(ReadBack { ticket: 1, partition: 0, from: None, since_ms: since, max_records: 1_000_000 }).unwrap();
    loop {
        let piece = pieces.blocking_recv().unwrap();
        let now = jiff::Timestamp::now().as_millisecond();
        piece.entries.iter().for_each(|remembered| ledger.remember(0, remembered, now));
        match piece.reading {
            Reading::Left(_) => {}
            Reading::Done => break,
            Reading::Failed(text) => panic!("{text}"),
        }
    }
    assert_eq!(ledger.len() as u64, entries);
    (began.elapsed().as_secs_f64(), ledger.bytes() as f64 / ledger.len() as f64)
}

fn write(brokers: &str, topic: &str, entries: u64) {
    let config = || ClientConfig::new().set("bootstrap.servers", brokers).set("linger.ms", "20").clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    runtime.block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap();
    let producer: ThreadedProducer<_> = config().create().unwrap();
    let value = "x".repeat(OUTCOME);
    for number in 0..entries {
        let bytes = entry(number).to_bytes();
        loop {
            let headers = OwnedHeaders::new()
                .insert(Header { key: names::OUTCOME, value: Some("applied") })
                .insert(Header { key: names::SOURCE_TOPIC, value: Some("activity-replies") })
                .insert(Header { key: names::ACTIVITY_TYPE, value: Some("ChargeCard") })
                .insert(Header { key: names::LEDGER, value: Some(&bytes) });
            let key = format!("0197b3b0-0000-7000-8000-000000000001/order-{number:08}/12/0");
            let record = BaseRecord::to(topic).partition(0).key(&key).payload(&value).headers(headers);
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
    }
    producer.flush(Duration::from_secs(120)).unwrap();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    in_memory(&mut criterion);
    criterion.final_summary();
    match env::var("HANDBACK_BENCH_BROKERS") {
        Ok(brokers) => from_a_broker(&brokers),
        Err(_) => println!("without HANDBACK_BENCH_BROKERS nothing is read from a broker"),
    }
}
