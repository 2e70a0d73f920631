//! What the outcome topic holds is read back for the ledger, in order, to the end and no further.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use handback::bridge::seams::{Piece, ReadBack, Reading, Remembered};
use handback::kafka::read_back::{LedgerReader, ReaderSpec, spawn};
use handback::kafka::{Producer, ProducerSpec};
use handback::wire::{Fingerprint, Headers, LedgerEntry, OutRecord, names};
use rdkafka::ClientConfig;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::kafka_support::*;

const REPLY_TOPICS: [&str; 2] = ["replies-a", "replies-b"];

fn reader(cluster: &Cluster, topic: &str) -> LedgerReader {
    patient_reader(cluster, topic, Duration::from_secs(30))
}

fn patient_reader(cluster: &Cluster, topic: &str, load_timeout: Duration) -> LedgerReader {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "reader");
    config.set("enable.partition.eof", "true").set("auto.offset.reset", "earliest");
    spawn(ReaderSpec {
        name: "ledger".to_owned(),
        config,
        topic: topic.into(),
        reply_topics: REPLY_TOPICS.map(str::to_owned).to_vec(),
        lookup_timeout: Duration::from_secs(5),
        load_timeout,
    })
    .unwrap()
}

fn ask(ticket: u64, partition: i32, from: Option<i64>, max_records: usize) -> ReadBack {
    ReadBack { ticket, partition, from, since_ms: 0, max_records }
}

fn entry(offset: i64) -> LedgerEntry {
    LedgerEntry {
        target: [offset as u8; 16],
        fingerprint: Fingerprint::from_bytes([1; 16]),
        idempotency_key: None,
        offset,
    }
}

/// Writes an outcome's headers; `None` leaves no entry.
async fn write_outcome(producer: &Producer, partition: i32, source: &'static str, entry: Option<LedgerEntry>) {
    let mut headers = Headers::new();
    headers.push(names::SOURCE_TOPIC, Bytes::from_static(source.as_bytes()));
    if let Some(entry) = entry {
        headers.push(names::LEDGER, Bytes::copy_from_slice(&entry.to_bytes()));
    }
    let value = Some(Bytes::from_static(b"{}"));
    producer
        .send(OutRecord { topic: TOPIC.into(), partition: Some(partition), key: None, value, headers })
        .await
        .unwrap();
}

fn producer(cluster: &Cluster) -> Producer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("linger.ms", "0");
    Producer::new(ProducerSpec { name: "producer".to_owned(), config, observer: Arc::<Told>::default() }).unwrap()
}

#[tokio::test]
async fn an_outcome_with_a_header_name_that_is_no_text_ends_no_ledger() {
    let cluster = cluster(1);
    let producer = producer(&cluster);
    let mut reader = reader(&cluster, TOPIC);
    let mut headers = Headers::new();
    headers.push(b"tr\xe4ce".to_vec(), Bytes::from_static(b"1"));
    headers.push(b"handback-ledger\0".to_vec(), Bytes::copy_from_slice(&entry(5).to_bytes()));
    let strange = OutRecord { topic: TOPIC.into(), partition: Some(0), key: None, value: None, headers };
    producer.send(strange).await.unwrap();
    write_outcome(&producer, 0, "replies-a", Some(entry(17))).await;
    let (entries, last) = answer(&mut reader, ask(1, 0, None, 1000)).await;
    assert_eq!(entries.iter().map(|remembered| remembered.entry).collect::<Vec<_>>(), [entry(17)]);
    assert_eq!((last.next, last.reading), (Some(2), Reading::Done));
}

/// All pieces of one answer.
async fn answer(reader: &mut LedgerReader, ask: ReadBack) -> (Vec<Remembered>, Piece) {
    reader.asks.send(ask).unwrap();
    let mut entries = Vec::new();
    loop {
        let piece = tokio::time::timeout(PATIENCE, reader.pieces.recv()).await.unwrap().unwrap();
        assert_eq!((piece.ticket, piece.partition), (ask.ticket, ask.partition));
        entries.extend_from_slice(&piece.entries);
        if !matches!(piece.reading, Reading::Left(_)) {
            return (entries, piece);
        }
    }
}

#[tokio::test]
async fn entries_are_read_in_order_to_the_end_and_on_from_there() {
    let cluster = cluster(2);
    let producer = producer(&cluster);
    let mut reader = reader(&cluster, TOPIC);
    let (entries, last) = answer(&mut reader, ask(1, 0, None, 1000)).await;
    assert!(entries.is_empty(), "an empty partition is read at once");
    assert_eq!((last.next, last.reading), (Some(0), Reading::Done));

    write_outcome(&producer, 0, "replies-b", Some(entry(17))).await;
    write_outcome(&producer, 0, "replies-a", None).await;
    write_outcome(&producer, 1, "replies-a", Some(entry(99))).await;
    write_outcome(&producer, 0, "elsewhere", Some(entry(18))).await;
    let (entries, last) = answer(&mut reader, ask(2, 0, last.next, 1000)).await;
    let found: Vec<_> = entries.iter().map(|found| (found.entry, found.topic)).collect();
    assert_eq!(found, [(entry(17), Some(1)), (entry(18), None)]);
    assert!(entries.iter().all(|found| found.at_ms > 1_600_000_000_000), "the time of the outcome");
    assert_eq!((last.next, last.reading), (Some(3), Reading::Done));

    write_outcome(&producer, 0, "replies-a", Some(entry(19))).await;
    let (entries, last) = answer(&mut reader, ask(3, 0, last.next, 1000)).await;
    assert_eq!(entries.iter().map(|found| found.entry).collect::<Vec<_>>(), [entry(19)], "what is new alone");
    assert_eq!(last.next, Some(4));
}

#[tokio::test]
async fn no_more_than_the_last_so_many_are_read_and_progress_is_shown() {
    let cluster = cluster(1);
    let producer = producer(&cluster);
    let writes = (0..3000).map(|offset| write_outcome(&producer, 0, "replies-a", Some(entry(offset))));
    futures_util::future::join_all(writes).await;
    let mut reader = reader(&cluster, TOPIC);
    let (entries, last) = answer(&mut reader, ask(1, 0, None, 2500)).await;
    assert_eq!((entries.len(), entries[0].entry.offset, last.next), (2500, 500, Some(3000)));

    reader.asks.send(ask(2, 0, None, 10_000)).unwrap();
    let first = tokio::time::timeout(PATIENCE, reader.pieces.recv()).await.unwrap().unwrap();
    assert_eq!((first.next, first.reading), (Some(1024), Reading::Left(1976)));
}

#[tokio::test]
async fn several_partitions_are_read_at_once_and_one_asked_again_goes_on_to_the_new_end() {
    let cluster = cluster(3);
    let producer = producer(&cluster);
    for partition in 0..3 {
        write_outcome(&producer, partition, "replies-a", Some(entry(partition.into()))).await;
    }
    let mut reader = reader(&cluster, TOPIC);
    for (ticket, partition) in [(1, 0), (2, 1), (3, 2), (4, 1)] {
        reader.asks.send(ask(ticket, partition, None, 1000)).unwrap();
    }
    let (mut entries, mut done) = (Vec::new(), Vec::new());
    while done.iter().filter(|ticket| **ticket != 2).count() < 3 {
        let piece = tokio::time::timeout(PATIENCE, reader.pieces.recv()).await.unwrap().unwrap();
        entries.extend(piece.entries.iter().map(|found| found.entry.offset));
        assert_eq!(piece.reading, Reading::Done);
        done.push(piece.ticket);
    }
    entries.sort_unstable();
    entries.dedup();
    assert_eq!(entries, [0, 1, 2]);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_what_to_do() {
    let cluster = cluster(1);
    let mut reader = patient_reader(&cluster, TOPIC, Duration::from_secs(3));
    let (entries, last) = answer(&mut reader, ask(1, 7, None, 1000)).await;
    assert!(entries.is_empty() && last.next.is_none());
    let Reading::Failed(text) = last.reading else { panic!("{last:?}") };
    assert!(text.contains("handback topics create"), "{text}");
    // And the next question is answered.
    let (_, last) = answer(&mut reader, ask(2, 0, None, 1000)).await;
    assert_eq!(last.reading, Reading::Done);
}

#[tokio::test]
async fn a_ledger_that_the_broker_cannot_read_is_told_with_its_reason_and_not_waited_for() {
    let cluster = cluster(1);
    let producer = producer(&cluster);
    write_outcome(&producer, 0, "replies-a", Some(entry(0))).await;
    for (error, words) in [
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "grant READ on"),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_MSG, "corrupt"),
    ] {
        cluster.request_errors(RDKafkaApiKey::Fetch, &[error; 1000]);
        let mut reader = reader(&cluster, TOPIC);
        let (_, last) = answer(&mut reader, ask(1, 0, None, 1000)).await;
        let Reading::Failed(text) = last.reading else { panic!("{last:?}") };
        assert!(text.contains("/0/0 cannot be read") && text.contains(words), "{text}");
        cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    }
}

#[tokio::test]
async fn a_ledger_is_read_once_a_look_up_that_failed_in_passing_succeeds() {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    let cluster = cluster(2);
    let producer = producer(&cluster);
    for partition in 0..2 {
        write_outcome(&producer, partition, "replies-a", Some(entry(partition.into()))).await;
    }
    // The broker leads nothing for a while, as after a topic was made or another broker went.
    let not_leader = RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    cluster.request_errors(RDKafkaApiKey::ListOffsets, &[not_leader; 30]);
    let mut reader = reader(&cluster, TOPIC);
    for (ticket, partition) in [(1, 0), (2, 1)] {
        reader.asks.send(ask(ticket, partition, None, 1000)).unwrap();
    }
    let mut entries = Vec::new();
    for _both in 0..2 {
        let piece = tokio::time::timeout(PATIENCE, reader.pieces.recv()).await.unwrap().unwrap();
        assert_eq!(piece.reading, Reading::Done);
        entries.extend(piece.entries.iter().map(|found| found.entry.offset));
    }
    entries.sort_unstable();
    assert_eq!(entries, [0, 1]);
}
