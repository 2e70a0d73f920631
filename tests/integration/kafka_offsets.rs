//! Where reading starts, what gets committed, and what a slow worker does to it.

use std::sync::Arc;
use std::time::Duration;

use handback::bridge::seams::Command;
use handback::kafka::{self, OnGap};

use crate::kafka_support::*;

#[tokio::test]
async fn committed_offset_passes_nothing_that_was_not_stored() {
    let cluster = cluster(1);
    write(&cluster, vec![0; 100], 100);
    let told = Arc::new(Told::default());
    let mut a = kafka::spawn(spec(member_config(&cluster, "a"), told.clone())).unwrap();
    assigned(&mut a).await;
    let offsets: Vec<_> = read(&mut a, 100).await.iter().map(|r| r.record.origin.offset).collect();
    assert_eq!(offsets, (0..100).collect::<Vec<_>>(), "no committed offset: from the beginning");

    a.commands.send(Command::Store(vec![(partition(0), 40)])).unwrap();
    until("the stored offset is committed", || told.committed_of(0) == Some(40)).await;
    until("what is read but not settled counts as lag", || told.lag_of(0) == Some(60)).await;
    // Neither a step back nor one past what was read is taken.
    a.commands.send(Command::Store(vec![(partition(0), 30)])).unwrap();
    a.commands.send(Command::Store(vec![(partition(0), 101)])).unwrap();
    close(a).await;
    assert_eq!(committed(&cluster, 0), Some(40));

    let mut b = consumer(member_config(&cluster, "b"));
    assigned(&mut b).await;
    assert_eq!(read(&mut b, 1).await[0].record.origin.offset, 40);
    close(b).await;
}

#[tokio::test]
async fn records_arrive_byte_for_byte() {
    use rdkafka::message::{Header, OwnedHeaders};
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let cluster = cluster(1);
    let producer: BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some(&[0u8, 255][..]) })
        .insert(Header::<&[u8]> { key: "a", value: None });
    let tombstone = BaseRecord::<[u8], [u8]>::to(TOPIC).partition(0).key(&[0, 159][..]).headers(headers);
    producer.send(tombstone).unwrap();
    producer.send(BaseRecord::<[u8], [u8]>::to(TOPIC).partition(0).payload(&[][..])).unwrap();
    producer.flush(PATIENCE).unwrap();

    let mut a = consumer(member_config(&cluster, "a"));
    assigned(&mut a).await;
    let records = read(&mut a, 2).await;
    let first = &records[0].record;
    assert_eq!((first.key.as_deref(), &first.value), (Some(&[0, 159][..]), &None));
    let got: Vec<_> = first.headers.iter().map(|(n, v)| (n.as_str().unwrap(), v.map(|v| v.to_vec()))).collect();
    assert_eq!(got, [("a", Some(vec![0, 255])), ("a", None)]);
    assert_eq!(first.origin.to_string(), "activity-replies/0/0");
    let second = &records[1].record;
    assert_eq!((&second.key, second.value.as_deref()), (&None, Some(&[][..])), "empty is not null");
    close(a).await;
}

/// Fills partition 0 beyond what the mock keeps (5 MiB), so that it drops the oldest records.
fn overtake(cluster: &Cluster) {
    write(cluster, vec![0; 8], 900_000);
}

const CONDITION: &str = "kafka/a/position/activity-replies/0";

#[tokio::test]
async fn retention_gap_stops_its_partition_and_names_what_is_gone() {
    let cluster = cluster(2);
    commit(&cluster, 0, 1);
    overtake(&cluster);
    write(&cluster, vec![1; 3], 10);
    let told = Arc::new(Told::default());
    let mut a = kafka::spawn(spec(member_config(&cluster, "a"), told.clone())).unwrap();
    assert_eq!(assigned(&mut a).await.len(), 2, "the partition stays ours");
    let reason = told.reason(CONDITION).expect("the gap is reported");
    assert!(reason.contains("activity-replies/0 is stopped"), "{reason}");
    assert!(reason.contains("(1..") && reason.contains("on_retention_gap"), "{reason}");
    // The other partition is read, this one never; nothing is stored for it.
    assert!(read(&mut a, 3).await.iter().all(|r| r.partition == partition(1)));
    a.commands.send(Command::Store(vec![(partition(0), 5), (partition(1), 3)])).unwrap();
    until("the other partition is committed", || told.committed_of(1) == Some(3)).await;
    until("what is stopped is behind, and grows old", || told.lag_of(0) > Some(0) && !told.still(0).is_zero()).await;
    assert!(a.records.try_recv().is_err());
    close(a).await;
    assert_eq!(committed(&cluster, 0), Some(1));
    assert_eq!(told.reason(CONDITION), None, "no longer ours, no longer our trouble");
}

#[tokio::test]
async fn retention_gap_is_passed_when_told_to() {
    let cluster = cluster(1);
    commit(&cluster, 0, 1);
    overtake(&cluster);
    let told = Arc::new(Told::default());
    let mut spec = spec(member_config(&cluster, "a"), told.clone());
    spec.on_gap = OnGap::Continue;
    let mut a = kafka::spawn(spec).unwrap();
    assigned(&mut a).await;
    let first = read(&mut a, 1).await[0].record.origin.offset;
    assert!(first > 1, "starts at the oldest record there is, not {first}");
    assert_eq!(told.reason(CONDITION), None);
    close(a).await;
}

#[tokio::test]
async fn retention_that_overtakes_a_running_consumer_is_noticed() {
    for on_gap in [OnGap::Stop, OnGap::Continue] {
        let cluster = cluster(1);
        write(&cluster, vec![0; 2], 10);
        let told = Arc::new(Told::default());
        let mut spec = spec(member_config(&cluster, "a"), told.clone());
        spec.on_gap = on_gap;
        let mut a = kafka::spawn(spec).unwrap();
        assigned(&mut a).await;
        read(&mut a, 2).await;
        a.commands.send(Command::Pause(vec![partition(0)])).unwrap();
        // What is fetched already does not count: two fills, so that nothing of the first is left.
        overtake(&cluster);
        overtake(&cluster);
        a.commands.send(Command::Resume(vec![partition(0)])).unwrap();
        match on_gap {
            OnGap::Stop => {
                until("the gap is reported", || told.reason(CONDITION).is_some()).await;
                // What was read before the gap may still be settled.
                a.commands.send(Command::Store(vec![(partition(0), 2)])).unwrap();
                until("and is committed", || told.committed_of(0) == Some(2)).await;
            }
            OnGap::Continue => assert!(read(&mut a, 1).await[0].record.origin.offset > 2),
        }
        close(a).await;
    }
}

#[tokio::test]
async fn committed_offset_beyond_the_end_is_refused() {
    let cluster = cluster(1);
    write(&cluster, vec![0; 5], 10);
    commit(&cluster, 0, 500);
    let told = Arc::new(Told::default());
    let mut a = kafka::spawn(spec(member_config(&cluster, "a"), told.clone())).unwrap();
    assigned(&mut a).await;
    let reason = told.reason(CONDITION).expect("it is reported");
    assert!(reason.contains("committed offset 500 lies beyond the end 5"), "{reason}");
    close(a).await;
    assert_eq!(committed(&cluster, 0), Some(500), "and left alone");
}

#[tokio::test]
async fn a_worker_that_takes_nothing_for_longer_than_max_poll_interval_keeps_its_partitions() {
    let cluster = cluster(2);
    let total: usize = 6_000;
    write(&cluster, [0, 1].repeat(total / 2), 100);
    let mut config = member_config(&cluster, "a");
    config.set("max.poll.interval.ms", "3600");
    let mut a = consumer(config);
    assigned(&mut a).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let mut seen: Vec<_> =
        read(&mut a, total).await.iter().map(|r| (r.partition, r.epoch, r.record.origin.offset)).collect();
    seen.sort_unstable();
    let all = (0..2).flat_map(|p| (0..3_000).map(move |o| (partition(p), 1, o)));
    assert_eq!(seen.len(), total);
    assert!(seen.into_iter().eq(all), "each record once, in one assignment");
    assert!(a.control.try_recv().is_err(), "no rebalance happened");
    close(a).await;
}

#[tokio::test]
async fn paused_partitions_are_not_read_and_resume_where_they_were() {
    let cluster = cluster(2);
    write(&cluster, [0, 1], 10);
    let mut a = consumer(member_config(&cluster, "a"));
    assigned(&mut a).await;
    read(&mut a, 2).await;
    a.commands.send(Command::Pause(vec![partition(0)])).unwrap();
    // Commands are obeyed in order and before the next poll; once this store is done the pause is too.
    write(&cluster, [1], 10);
    read(&mut a, 1).await;
    write(&cluster, [0, 0, 1, 1], 10);
    assert!(read(&mut a, 2).await.iter().all(|r| r.partition == partition(1)));
    a.commands.send(Command::Resume(vec![partition(0)])).unwrap();
    let resumed: Vec<_> = read(&mut a, 2).await.iter().map(|r| (r.partition, r.record.origin.offset)).collect();
    assert_eq!(resumed, [(partition(0), 1), (partition(0), 2)]);
    close(a).await;
}
