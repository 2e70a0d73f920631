//! What an earlier version has left on its topics is read by this one as it was meant, and what this one writes about the same
//! replies the earlier one reads: a rolling upgrade and a roll-back.
//!
//! The fixtures are what a version left behind in a run against a real broker and a real engine
//! (`tests/live/run --record FILE`, with `HANDBACK_BIN` of that version).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use handback::bridge::seams::{ReadBack, Reading, Remembered};
use handback::kafka::read_back::{ReaderSpec, spawn};
use handback::kafka::{Producer, ProducerSpec};
use handback::wire::{
    DeadLetter, Headers, LedgerEntry, Limits, Origin, OutRecord, Outcome, OutcomeKind, Record, RetryState, decode,
    names, source_of,
};
use rdkafka::ClientConfig;
use serde_json::Value;

use crate::kafka_support::*;

const REPLIES: &str = "activity-replies";
const OUTCOMES: &str = "activity-outcomes";
const DEAD_LETTERS: &str = "activity-replies-dlq";
const RETRIES: &str = "activity-replies-retry-";

/// All that a run has left.
struct Left {
    records: Vec<Record>,
    /// By group, topic and partition.
    committed: BTreeMap<(String, String, i32), i64>,
}

impl Left {
    fn by_0_1_0() -> Self {
        let mut left = Self { records: Vec::new(), committed: BTreeMap::new() };
        for line in include_str!("../fixtures/0.1.0.jsonl").lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            match line["group"].as_str() {
                None => left.records.push(record(&line)),
                Some(group) => {
                    let key = (group.to_owned(), text(&line["topic"]), partition_of(&line));
                    left.committed.insert(key, line["committed"].as_i64().unwrap());
                }
            }
        }
        left
    }

    /// The records of the topics whose names begin so.
    fn on(&self, topic: &str) -> Vec<&Record> {
        let found: Vec<_> = self.records.iter().filter(|record| record.origin.topic.starts_with(topic)).collect();
        assert!(found.len() >= 8, "{topic}: {}", found.len());
        found
    }

    /// Replies by their place.
    fn replies(&self) -> HashMap<(i32, i64), &Record> {
        let exactly = self.records.iter().filter(|record| &*record.origin.topic == REPLIES);
        exactly.map(|record| ((record.origin.partition, record.origin.offset), record)).collect()
    }

    /// Outcomes as this version reads them, each with its record and the reply.
    fn outcomes(&self) -> Vec<(Outcome, &Record, &Record)> {
        let replies = self.replies();
        let read = |record: &&'_ Record| Outcome::parse(record.value.as_ref().unwrap()).unwrap();
        let all = self.on(OUTCOMES).into_iter().map(|record| (read(&record), record));
        all.map(|(outcome, record)| {
            let reply = replies[&(outcome.source.partition, outcome.source.offset)];
            (outcome, record, reply)
        })
        .collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn bytes(value: &Value) -> Option<Bytes> {
    value.as_str().map(|text| STANDARD.decode(text).unwrap().into())
}

fn partition_of(line: &Value) -> i32 {
    line["partition"].as_i64().unwrap().try_into().unwrap()
}

fn record(line: &Value) -> Record {
    let mut headers = Headers::new();
    for header in line["headers"].as_array().unwrap() {
        headers.push(text(&header[0]), bytes(&header[1]));
    }
    let origin = Origin {
        topic: text(&line["topic"]).into(),
        partition: partition_of(line),
        offset: line["offset"].as_i64().unwrap(),
        timestamp_ms: line["timestamp"].as_i64(),
    };
    Record { origin, key: bytes(&line["key"]), value: bytes(&line["value"]), headers }
}

/// The record, byte for byte, is what was written: key, value, headers and place.
#[track_caller]
fn is_written(out: OutRecord, record: &Record) {
    let Record { origin, key, value, headers } = record;
    let there = OutRecord {
        topic: origin.topic.clone(),
        partition: Some(origin.partition),
        key: key.clone(),
        value: value.clone(),
        headers: headers.clone(),
    };
    assert!(out == there, "{origin}: {out:?} is not {there:?}");
}

#[test]
fn replies_are_decoded_as_the_earlier_version_decoded_them() {
    let left = Left::by_0_1_0();
    let mut forms = HashMap::new();
    for (outcome, _, reply) in left.outcomes() {
        let place = &outcome.source;
        match decode(reply, &Limits::default()) {
            Ok(reply) => {
                *forms.entry(reply.mode).or_insert(0) += 1;
                assert_eq!(Some(reply.fingerprint), outcome.fingerprint, "{place}");
                assert_eq!(Some(reply.answer.action()), outcome.action, "{place}");
                assert_eq!(reply.idempotency_key, outcome.idempotency_key, "{place}");
                assert_eq!(reply.event, outcome.cloud_event, "{place}");
                assert_eq!(reply.metadata.map(|raw| raw.to_string()), outcome.metadata.map(|raw| raw.to_string()));
                let (seen, told) = (reply.target.into_activity(), outcome.activity.unwrap());
                assert_eq!((seen.workflow_id, seen.run_id), (told.workflow_id, told.run_id), "{place}");
                assert_eq!(seen.activity_id, told.activity_id, "{place}");
            }
            Err(refusal) => {
                assert_eq!(outcome.kind, OutcomeKind::Rejected, "{place}");
                assert_eq!(Some(refusal.code.as_str()), outcome.reason.as_deref(), "{place}");
                assert_eq!(refusal.action, outcome.action, "{place}");
            }
        }
    }
    assert_eq!(forms.len(), 4, "every form of a reply is among them: {forms:?}");
}

#[test]
fn retry_records_come_back_as_the_replies_they_were_and_are_written_alike() {
    let left = Left::by_0_1_0();
    let replies = left.replies();
    for moved in left.on(RETRIES) {
        let said = |name| std::str::from_utf8(moved.headers.last(name).unwrap()).unwrap().to_owned();
        let (restored, state) = RetryState::restore(moved.clone()).unwrap();
        let reply = replies[&(restored.origin.partition, restored.origin.offset)];
        assert!(restored == *reply, "{}: {restored:?} is not {reply:?}", moved.origin);
        assert_eq!(state.attempts.to_string(), said(names::ATTEMPTS));
        assert_eq!(state.passed.to_string(), said(names::TIERS));
        assert_eq!(state.last_error, said(names::LAST_ERROR));
        assert!(state.first_seen_ms < state.not_before_ms);
        assert_eq!(RetryState::not_before_ms(&moved.headers), Some(state.not_before_ms));
        is_written(state.to_record(&restored, moved.origin.topic.clone()), moved);
    }
}

#[test]
fn dead_letters_say_which_reply_they_were_and_are_written_alike() {
    let left = Left::by_0_1_0();
    let outcomes = left.outcomes();
    for letter in left.on(DEAD_LETTERS) {
        let source = source_of(&letter.headers).unwrap();
        let (outcome, _, reply) = outcomes.iter().find(|(outcome, ..)| outcome.source == source).unwrap();
        let said = |name| letter.headers.last(name).map(|value| std::str::from_utf8(value).unwrap());
        let written = DeadLetter {
            record: reply,
            outcome: outcome.kind,
            reason: outcome.reason.as_deref().unwrap_or(outcome.kind.as_str()),
            detail: said(names::DLQ_DETAIL).unwrap(),
            attempts: outcome.attempts,
            engine_status: said(names::DLQ_ENGINE_STATUS),
            token: None,
        };
        let mut plain = letter.clone();
        plain.headers = without(&letter.headers, names::DLQ_TOKEN);
        is_written(written.to_record(letter.origin.topic.clone()), &plain);
    }
}

/// A print of a token is keyed by the process that wrote it: no later one writes the same.
fn without(headers: &Headers, name: &str) -> Headers {
    let mut left = Headers::new();
    for (other, value) in headers.iter().filter(|(other, _)| *other != name) {
        left.push(other.to_owned(), value.cloned());
    }
    left
}

#[test]
fn outcomes_are_read_and_written_alike() {
    let left = Left::by_0_1_0();
    for (mut outcome, record, _) in left.outcomes() {
        outcome.ledger = record.headers.last(names::LEDGER).map(|entry| LedgerEntry::parse(entry).unwrap());
        is_written(outcome.into_record(record.origin.topic.clone(), record.origin.partition), record);
    }
}

#[tokio::test]
async fn the_ledger_is_read_from_outcomes_of_the_earlier_version() {
    let left = Left::by_0_1_0();
    let cluster = cluster(1);
    cluster.create_topic(OUTCOMES, 4, 1).unwrap();
    write_outcomes(&cluster, &left).await;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "reader");
    config.set("enable.partition.eof", "true").set("auto.offset.reset", "earliest");
    let mut reader = spawn(ReaderSpec {
        name: "ledger".to_owned(),
        config,
        topic: OUTCOMES.into(),
        reply_topics: vec![REPLIES.to_owned()],
        lookup_timeout: Duration::from_secs(5),
        load_timeout: Duration::from_secs(30),
    })
    .unwrap();
    let mut found: Vec<Remembered> = Vec::new();
    for partition in 0..4 {
        let ask = ReadBack { ticket: 1, partition, from: None, since_ms: 0, max_records: 1000 };
        reader.asks.send(ask).unwrap();
        let piece = tokio::time::timeout(PATIENCE, reader.pieces.recv()).await.unwrap().unwrap();
        assert_eq!(piece.reading, Reading::Done);
        found.extend(piece.entries);
    }
    let mut want = Vec::new();
    for (outcome, record, reply) in left.outcomes() {
        let Some(header) = record.headers.last(names::LEDGER) else { continue };
        let entry =
            found.iter().find(|found| found.entry.to_bytes()[..] == header[..]).expect("the entry of an outcome");
        assert_eq!((entry.topic, entry.entry.offset), (Some(0), outcome.source.offset));
        let reply = decode(reply, &Limits::default()).unwrap();
        // A reply by id gets its key from the activity that was found.
        if reply.target.key().is_some() {
            assert_eq!(LedgerEntry::of(&reply.target, &reply, outcome.source.offset), Some(entry.entry));
        }
        want.push(outcome.source);
    }
    assert!(want.len() >= 10, "{want:?}");
    assert_eq!(found.len(), want.len(), "what was applied, and nothing else");
}

async fn write_outcomes(cluster: &Cluster, left: &Left) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("linger.ms", "0");
    let spec = ProducerSpec { name: "producer".to_owned(), config, observer: std::sync::Arc::<Told>::default() };
    let producer = Producer::new(spec).unwrap();
    for record in left.on(OUTCOMES) {
        let Record { origin, key, value, headers } = record.clone();
        let (topic, partition) = (origin.topic, Some(origin.partition));
        producer.send(OutRecord { topic, partition, key, value, headers }).await.unwrap();
    }
}

#[tokio::test]
async fn reading_goes_on_where_the_earlier_version_has_committed() {
    let left = Left::by_0_1_0();
    let of_replies = left.committed.iter().filter(|((_, topic, _), _)| topic == REPLIES);
    let committed: BTreeMap<i32, i64> = of_replies.map(|((_, _, partition), offset)| (*partition, *offset)).collect();
    assert_eq!(committed.len(), 4);
    let cluster = cluster(4);
    for (partition, offset) in &committed {
        // Two more than the earlier version had settled.
        write(&cluster, std::iter::repeat_n(*partition, usize::try_from(*offset).unwrap() + 2), 10);
        commit(&cluster, *partition, *offset);
    }
    let mut reader = consumer(member_config(&cluster, "later"));
    assigned(&mut reader).await;
    let mut read: Vec<_> = read(&mut reader, 8).await.iter().map(|received| received.record.origin.clone()).collect();
    read.sort_by_key(|origin| (origin.partition, origin.offset));
    let read: Vec<_> = read.iter().map(|origin| (origin.partition, origin.offset)).collect();
    let want: Vec<_> =
        committed.iter().flat_map(|(partition, offset)| [(*partition, *offset), (*partition, offset + 1)]).collect();
    assert_eq!(read, want);
    close(reader).await;
}
