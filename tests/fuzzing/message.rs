//! The whole path of a record, from what the Kafka client hands over to what is written of it: decoded or refused, to a
//! retry topic and back, dead letter and outcome.

use bytes::Bytes;
use handback::wire::{
    LedgerEntry, Limits, Origin, OutRecord, Outcome, OutcomeKind, Record, RefusalCode, Reply, RetryState, decode,
};

use super::read_back::{dead_letter_keeps, outcome_is_read_back, writable};
use super::text::{origin, record};
use super::{SECRET, fit_for_people};

/// The bytes are a line `TIMESTAMP OFFSET KEY`, then a record with its headers. What is no number is absent, and a key that is
/// absent is null.
pub(crate) fn check(bytes: &[u8]) {
    let (line, rest) = cut(bytes, b'\n');
    let received = handed_over(line, rest.unwrap_or_default());
    match decode(&received, &Limits::default()) {
        Ok(reply) => understood(&received, &reply),
        Err(refusal) => {
            assert!(RefusalCode::ALL.contains(&refusal.code));
            fit_for_people(&refusal.detail);
            dead_letter_keeps(&received, refusal.code.as_str(), &refusal.detail);
            is_told(Outcome {
                action: refusal.action,
                reason: Some(refusal.code.as_str().into()),
                detail: Some(refusal.detail.clone()),
                activity: refusal.activity.clone(),
                idempotency_key: refusal.idempotency_key.clone(),
                metadata: refusal.metadata.clone(),
                cloud_event: refusal.event.clone(),
                traceparent: refusal.traceparent.clone(),
                ..Outcome::new(OutcomeKind::Rejected, received.origin.clone(), 0, 1)
            });
        }
    }
}

/// Everything before the first such byte, and everything behind it.
fn cut(bytes: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|byte| *byte == at) {
        Some(end) => (&bytes[..end], Some(&bytes[end + 1..])),
        None => (bytes, None),
    }
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The record as the Kafka client hands it over: of a header's name it tells what comes up to the first NUL in it, and
/// that there was one.
fn handed_over(line: &[u8], rest: &[u8]) -> Record {
    let (timestamp, after) = cut(line, b' ');
    let (offset, key) = cut(after.unwrap_or_default(), b' ');
    let written = record(rest);
    let told = |name: &[u8]| name.split_inclusive(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    Record {
        origin: Origin {
            // The client takes -1 for none, and a log's last possible offset has none after it.
            timestamp_ms: number(timestamp).filter(|time| *time != -1),
            offset: number(offset).filter(|offset| (0..i64::MAX).contains(offset)).unwrap_or_default(),
            ..origin()
        },
        key: key.map(Bytes::copy_from_slice),
        headers: written.headers.iter().map(|(name, value)| (told(name.as_bytes()), value.cloned())).collect(),
        value: written.value,
    }
}

/// A reply waits on a retry topic, is tried there as it was received, and is exhausted or applied in the end.
fn understood(received: &Record, reply: &Reply) {
    let state = RetryState {
        attempts: 2,
        passed: 1,
        first_seen_ms: received.origin.timestamp_ms.unwrap_or(i64::MIN),
        not_before_ms: i64::MAX,
        last_error: SECRET.to_owned(),
    };
    let OutRecord { topic, partition, key, value, headers } =
        state.to_record(received, "activity-replies-retry-30s".into());
    let place = Origin { topic, partition: partition.unwrap_or(-1), offset: 7, timestamp_ms: None };
    let Ok((back, _)) = RetryState::restore(Record { origin: place, key, value, headers }) else {
        panic!("what was written cannot be read")
    };
    assert_eq!(back, Record { origin: writable(&received.origin), ..received.clone() }, "it comes back as it was");
    let Ok(again) = decode(&back, &Limits::default()) else { panic!("refused when it came back") };
    assert_eq!((&again.target, &again.answer, again.mode), (&reply.target, &reply.answer, reply.mode));

    dead_letter_keeps(received, OutcomeKind::Exhausted.as_str(), "UNAVAILABLE");
    is_told(Outcome {
        action: Some(reply.answer.action()),
        activity: Some(reply.target.activity()),
        idempotency_key: reply.idempotency_key.clone(),
        fingerprint: Some(reply.fingerprint),
        metadata: reply.metadata.clone(),
        cloud_event: reply.event.clone(),
        traceparent: reply.traceparent.clone(),
        ledger: LedgerEntry::of(&reply.target, reply, received.origin.offset),
        ..Outcome::new(OutcomeKind::Applied, received.origin.clone(), i64::MIN, i64::MAX)
    });
}

/// An outcome is JSON in UTF-8 whatever it tells, and read back as it was written.
fn is_told(outcome: Outcome) {
    let out = outcome.clone().into_record("activity-outcomes".into(), outcome.source.partition);
    let Some(text) = out.value.as_deref().and_then(|value| std::str::from_utf8(value).ok()) else {
        panic!("an outcome that is no text")
    };
    let read = serde_json::from_str::<&serde_json::value::RawValue>(text);
    assert!(read.is_ok_and(|raw| raw.get().starts_with('{')), "an outcome that is no JSON object");
    // Times that cannot be written are told as the nearest that can: what is read back is the same from then on.
    let Ok(read) = Outcome::parse(text.as_bytes()) else { panic!("what was written cannot be read") };
    outcome_is_read_back(&Outcome {
        source: writable(&outcome.source),
        received_at_ms: read.received_at_ms,
        settled_at_ms: read.settled_at_ms,
        ..outcome
    });
}
