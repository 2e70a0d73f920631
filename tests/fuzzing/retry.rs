//! What stands on a retry topic: the record as it was received, and handback's state behind it.

use handback::wire::{Headers, OutRecord, Record, RetryState, names};

use super::read_back::dead_letter_keeps;
use super::text::record;
use super::{SECRET, fit_for_people, measured};

/// Headers are read where they are; the reason and the topic's name are copied.
const TIMES: usize = 2;

/// The bytes are a record on a retry topic, and one that comes to it.
pub(crate) fn check(bytes: &[u8]) {
    let record = record(bytes);
    let due = measured(record.size(), TIMES, || RetryState::not_before_ms(&record.headers));
    let standing = record.clone();
    match measured(record.size(), TIMES, || RetryState::restore(standing)) {
        Ok((restored, state)) => {
            assert_eq!(due, Some(state.not_before_ms), "what is peeked at is what is read");
            assert_eq!(restored.origin.partition, record.origin.partition, "it keeps its partition number");
            assert!(restored.origin.offset >= 0);
            assert_eq!((&restored.key, &restored.value), (&record.key, &record.value));
            assert!(is_part_of(&restored.headers, &record.headers), "nothing is added, nothing changes places");
            comes_back(&restored, &state);
        }
        Err((untouched, fault)) => {
            assert_eq!(*untouched, record, "what cannot be read is left as it is");
            fit_for_people(&fault.to_string());
            dead_letter_keeps(&untouched, "bad_retry_state", &fault.to_string());
        }
    }
    let state = RetryState {
        attempts: 5,
        passed: 1,
        first_seen_ms: 1_795_341_607_120,
        not_before_ms: 1_795_341_637_120,
        last_error: SECRET.to_owned(),
    };
    comes_back(&record, &state);
}

/// However often it is moved, a record comes back byte for byte, and with the state it was given last.
fn comes_back(record: &Record, state: &RetryState) {
    let OutRecord { topic, partition, key, value, headers } =
        state.to_record(record, "activity-replies-retry-30s".into());
    let origin = handback::wire::Origin { topic, partition: partition.unwrap_or(-1), offset: 7, timestamp_ms: None };
    let standing = Record { origin, key, value, headers };
    let Ok((back, its)) = RetryState::restore(standing) else { panic!("what was written cannot be read") };
    assert_eq!(&back, record);
    assert_eq!(
        (its.attempts, its.passed, its.first_seen_ms, its.not_before_ms),
        (state.attempts, state.passed, state.first_seen_ms, state.not_before_ms)
    );
    assert!(its.last_error.len() <= 2048 && !its.last_error.contains(char::is_control));
    assert_eq!(back.headers.count(names::TASK_TOKEN), record.headers.count(names::TASK_TOKEN));
}

/// Whether `part` is what is left of `whole` when some headers are taken away.
fn is_part_of(part: &Headers, whole: &Headers) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|header| rest.any(|there| there == header))
}
