//! What is read back of records that handback wrote: the ledger's entry and the origin, both in headers.

use handback::wire::{DeadLetter, Fingerprint, LedgerEntry, Origin, Outcome, OutcomeKind, Record, names, source_of};

use super::text::{record, record_of};
use super::{SECRET, measured};

/// Headers are looked at, not copied: only the topic's name is.
const TIMES: usize = 2;

/// Bytes that one header of ours takes at most.
const MAX_HEADER: usize = 2048;

/// The bytes are an entry, and a record whose headers may hold one.
pub(crate) fn check(bytes: &[u8]) {
    if let Some(entry) = LedgerEntry::parse(bytes) {
        assert_eq!(&entry.to_bytes()[..], bytes, "an entry is written otherwise than it was");
        assert!(entry.offset >= 0 && entry.idempotency_key != Some(0));
        assert_eq!(Fingerprint::parse(&entry.fingerprint.to_string()), Some(entry.fingerprint));
    }
    let mut record = record(bytes);
    let headers = &record.headers;
    let all = || headers.iter().map(|(name, value)| (name.as_bytes(), value.map(|value| &value[..])));
    let (remembered, topic) = measured(record.size(), TIMES, || LedgerEntry::in_headers(all()));
    assert_eq!(remembered, headers.last(names::LEDGER).and_then(|value| LedgerEntry::parse(value)), "the last wins");
    assert_eq!(topic, headers.last(names::SOURCE_TOPIC).map(|topic| &topic[..]), "the last wins");
    if let Some(origin) = measured(record.size(), TIMES, || source_of(headers)) {
        record.origin = origin;
    }
    dead_letter_keeps(&record, "bad_json", SECRET);
}

/// An origin as it can be written: without a time before the year 0, or later than a day before the end of 9999.
pub(crate) fn writable(origin: &Origin) -> Origin {
    let times = -62_167_219_200_000..=253_402_207_200_000;
    Origin { timestamp_ms: origin.timestamp_ms.filter(|time| times.contains(time)), ..origin.clone() }
}

/// Whatever was received is kept byte for byte; what is ours comes after it and is what is read.
pub(crate) fn dead_letter_keeps(record: &Record, reason: &str, detail: &str) {
    let letter = DeadLetter {
        record,
        outcome: OutcomeKind::Rejected,
        reason,
        detail,
        attempts: 3,
        engine_status: None,
        token: None,
    };
    let out = letter.to_record("activity-replies-dlq".into());
    assert_eq!((&out.key, &out.value), (&record.key, &record.value), "key and value are kept");
    assert_eq!(out.partition, Some(record.origin.partition));
    let received = record.headers.len();
    assert!(out.headers.iter().take(received).eq(record.headers.iter()), "headers are kept, in order");
    for (name, value) in out.headers.iter().skip(received) {
        assert!(name.starts_with("handback-"), "{name} is not ours");
        // A topic's name is as long as it is; Kafka allows 249.
        let short = name == names::SOURCE_TOPIC || value.is_none_or(|value| value.len() <= MAX_HEADER);
        assert!(short && value.is_none_or(|value| std::str::from_utf8(value).is_ok()), "{name} is no short text");
    }
    assert_eq!(out.headers.last(names::DLQ_REASON).map(|it| &it[..]), Some(reason.as_bytes()));
    assert_eq!(out.headers.last(names::DLQ_ATTEMPTS).map(|it| &it[..]), Some(&b"3"[..]));
    assert_eq!(out.headers.last(names::DLQ_ENGINE_STATUS), None, "nobody else speaks for us");
    assert_eq!(source_of(&out.headers), Some(writable(&record.origin)), "the origin is not the one that is read");
    let moved = Record { headers: out.headers.clone(), ..record.clone() };
    let again = DeadLetter { record: &moved, ..letter }.to_record("activity-replies-dlq".into());
    let first = |name: &str| again.headers.count(name) == out.headers.count(name);
    assert!(
        first(names::SOURCE_TOPIC) && first(names::SOURCE_OFFSET),
        "a record that is moved again keeps its first origin"
    );
}

/// An outcome is read back as it was written, from its value and from its headers.
pub(crate) fn outcome_is_read_back(outcome: &Outcome) {
    let out = outcome.clone().into_record("activity-outcomes".into(), outcome.source.partition);
    let Some(value) = &out.value else { panic!("an outcome without a value") };
    let read = match Outcome::parse(value) {
        Ok(read) => read,
        Err(fault) => panic!("what was written cannot be read: {fault}"),
    };
    assert_eq!(read.source, outcome.source);
    assert_eq!((read.kind, read.action, read.evidence), (outcome.kind, outcome.action, outcome.evidence));
    assert_eq!((&read.reason, &read.detail), (&outcome.reason, &outcome.detail));
    assert_eq!((&read.activity, read.fingerprint), (&outcome.activity, outcome.fingerprint));
    assert_eq!((&read.idempotency_key, read.attempts), (&outcome.idempotency_key, outcome.attempts));
    assert_eq!((read.received_at_ms, read.settled_at_ms), (outcome.received_at_ms, outcome.settled_at_ms));
    assert_eq!(read.cancel_requested, outcome.cancel_requested);
    let raw = |outcome: &Outcome| outcome.metadata.as_ref().map_or("{}", |raw| raw.get()).to_owned();
    assert_eq!(raw(&read), raw(outcome), "metadata is copied as received");
    assert_eq!(read.cloud_event, outcome.cloud_event);
    let (entry, topic) = {
        let written = record_of(out.headers.clone(), None);
        let all = written.headers.iter().map(|(name, value)| (name.as_bytes(), value.map(|value| &value[..])));
        let (entry, topic) = LedgerEntry::in_headers(all);
        (entry, topic.map(<[u8]>::to_vec))
    };
    assert_eq!(entry, outcome.ledger, "the ledger's entry");
    assert_eq!(topic.as_deref(), Some(outcome.source.topic.as_bytes()));
    assert_eq!(read.into_record("activity-outcomes".into(), outcome.source.partition).value, out.value);
}
