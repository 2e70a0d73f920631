use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::time::Instant;

use super::super::consumer::{ConsumerSpec, subscribed};
use super::super::positions::OnGap;
use super::*;
use crate::bridge::Batches;

const TOPIC: &str = "activity-replies";

/// Longest that any awaited event may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(40);

fn spec(brokers: &str) -> ConsumerSpec {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "handback-test");
    ConsumerSpec {
        name: "consumer-0".to_owned(),
        config,
        topics: [Arc::from(TOPIC)].into(),
        on_gap: OnGap::Stop,
        batches: Batches::of_retries(),
        accept_recreated: Vec::new(),
        revoke_timeout: Duration::from_secs(2),
        lookup_timeout: Duration::from_secs(5),
        statistics_interval: Duration::from_secs(60),
        observer: Arc::new(()),
    }
}

fn write(brokers: &str, records: usize) {
    let mut config = ClientConfig::new();
    let producer: BaseProducer = config.set("bootstrap.servers", brokers).create().unwrap();
    for _ in 0..records {
        producer.send(BaseRecord::<(), str>::to(TOPIC).partition(0).payload("x")).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// Lets the consumer turn until what is awaited has come.
fn turn_until(pump: &mut Pump, what: &str, mut done: impl FnMut(&Pump, Turn) -> bool) {
    let begun = Instant::now();
    loop {
        let turn = pump.turn();
        assert!(turn != Turn::Last, "the consumer ends");
        if done(pump, turn) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
    }
}

#[test]
fn while_the_worker_takes_nothing_no_more_is_read_and_nothing_is_lost() {
    const ALL: usize = 2000;
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    write(&brokers, ALL);
    let (mut pump, mut channels) = subscribed(spec(&brokers)).ok().unwrap();

    turn_until(&mut pump, "a pause", |pump, _| pump.context().partitions().choked());
    let before = pump.held.len();
    // All were fetched ahead by now: without the pause they come one after the other.
    turn_until(&mut pump, "that nothing comes", |_, turn| turn == Turn::Idle);
    let most = before + Batches::of_retries().records;
    assert!((1..=most).contains(&pump.held.len()), "{} are held, {before} before the pause", pump.held.len());

    let mut read = Vec::new();
    turn_until(&mut pump, "all records", |_, _| {
        while let Ok(batch) = channels.records.try_recv() {
            read.extend(batch.into_iter().map(|received| received.record.origin.offset));
        }
        read.len() >= ALL
    });
    assert!(read.into_iter().eq(0..ALL as i64), "each once, in order");
    assert!(!pump.context().partitions().choked());
    drop(channels);
}
