//! `docs/wire-contract.md`, section 7: a record comes back from a retry topic as it was received, and with its state.

use proptest::prelude::*;

use super::*;

fn state() -> RetryState {
    RetryState {
        attempts: 5,
        passed: 1,
        first_seen_ms: 1_763_805_607_120,
        not_before_ms: 1_763_805_637_500,
        last_error: "UNAVAILABLE: history is down".to_owned(),
    }
}

/// As it stands on the retry topic.
fn on_topic(out: OutRecord) -> Record {
    let OutRecord { topic, partition, key, value, headers } = out;
    let origin = Origin { topic, partition: partition.unwrap(), offset: 77, timestamp_ms: Some(1) };
    Record { origin, key, value, headers }
}

#[test]
fn retry_headers_name_source_and_state() {
    let record = envelope(r#""result": 1"#);
    let moved = state().to_record(&record, "activity-replies-retry-30s".into());
    assert_eq!(moved.partition, Some(4), "the origin's partition number");
    assert_eq!((&moved.key, &moved.value), (&record.key, &record.value));
    let expected = [
        ("handback-source-topic", "activity-replies"),
        ("handback-source-partition", "4"),
        ("handback-source-offset", "1187"),
        ("handback-source-timestamp", "2026-11-22T10:00:07.000Z"),
        ("handback-attempts", "5"),
        ("handback-tiers", "1"),
        ("handback-first-seen", "2025-11-22T10:00:07.120Z"),
        ("handback-not-before", "2025-11-22T10:00:37.500Z"),
        ("handback-last-error", "UNAVAILABLE: history is down"),
    ];
    let headers: Vec<_> = moved
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().unwrap(), std::str::from_utf8(value.unwrap()).unwrap()))
        .collect();
    assert_eq!(headers, expected);
    assert_eq!(RetryState::not_before_ms(&moved.headers), Some(state().not_before_ms));
}

/// Headers as hostile as they come: names of ours, several times, with and without values.
fn headers() -> impl Strategy<Value = Headers> {
    let ours = prop::sample::select(vec![
        names::SOURCE_TOPIC,
        names::SOURCE_PARTITION,
        names::SOURCE_OFFSET,
        names::SOURCE_TIMESTAMP,
        names::ATTEMPTS,
        names::NOT_BEFORE,
        names::LAST_ERROR,
        names::TASK_TOKEN,
    ]);
    let value = prop::option::of(prop_oneof![Just("4".to_owned()), "activity-replies|1187|[a-z]{0,4}"]);
    prop::collection::vec((ours, value), 0..12).prop_map(|headers| {
        headers.into_iter().map(|(name, value)| (name.to_owned(), value.map(Bytes::from))).collect()
    })
}

proptest! {
    #[test]
    fn a_record_comes_back_byte_for_byte_however_often_it_is_moved(headers in headers(), timed: bool, moves in 1usize..4) {
        let mut record = envelope(r#""result": 1"#);
        record.headers = headers;
        record.origin.timestamp_ms = record.origin.timestamp_ms.filter(|_| timed);
        let mut back = record.clone();
        for _ in 0..moves {
            let (restored, its) = RetryState::restore(on_topic(state().to_record(&back, "retry".into()))).unwrap();
            prop_assert_eq!(its, state());
            back = restored;
        }
        prop_assert_eq!(back, record);
    }
}

#[test]
fn a_record_that_names_its_own_place_already_comes_back_byte_for_byte() {
    let record = envelope(r#""result": 1"#);
    let mut echoed = record.clone();
    echoed.headers = state().to_record(&record, "retry".into()).headers;
    let (back, _) = RetryState::restore(on_topic(state().to_record(&echoed, "retry".into()))).unwrap();
    assert_eq!(back, echoed);
}

#[test]
fn what_handback_did_not_write_is_not_taken_up() {
    let record = envelope(r#""result": 1"#);
    let good = state().to_record(&record, "retry".into());
    let without = |name: &str| {
        let mut bad = good.clone();
        bad.headers = good.headers.iter().filter(|(n, _)| *n != name).map(|(n, v)| (n.clone(), v.cloned())).collect();
        RetryState::restore(on_topic(bad)).map(|_| ()).map_err(|(_, fault)| fault.header)
    };
    for name in
        [names::ATTEMPTS, names::TIERS, names::FIRST_SEEN, names::NOT_BEFORE, names::LAST_ERROR, names::SOURCE_TOPIC]
    {
        assert_eq!(without(name), Err(name));
    }
    // The origin's own timestamp is the one thing that a record need not have.
    assert_eq!(without(names::SOURCE_TIMESTAMP), Ok(()));
    let with = |name: &'static str, value: &'static str| {
        let mut bad = good.clone();
        bad.headers.push(name, Bytes::from_static(value.as_bytes()));
        RetryState::restore(on_topic(bad)).map(|_| ()).map_err(|(record, fault)| (record.origin.offset, fault.header))
    };
    assert_eq!(with(names::ATTEMPTS, "-1"), Err((77, names::ATTEMPTS)));
    assert_eq!(with(names::FIRST_SEEN, "yesterday"), Err((77, names::FIRST_SEEN)));
    assert_eq!(with(names::SOURCE_PARTITION, "5"), Err((77, names::SOURCE_PARTITION)), "it keeps its partition number");
    assert_eq!(with(names::SOURCE_OFFSET, "-5"), Err((77, names::SOURCE_OFFSET)));
    assert_eq!(
        with(names::SOURCE_OFFSET, "9223372036854775807"),
        Err((77, names::SOURCE_OFFSET)),
        "none comes after it"
    );
    assert_eq!(with(names::SOURCE_OFFSET, "9223372036854775806"), Ok(()));
    assert_eq!(with(names::SOURCE_TOPIC, ""), Err((77, names::SOURCE_TOPIC)));
}

#[test]
fn the_reason_is_one_line_and_bounded() {
    let mut state = state();
    state.last_error = "two\nlines".repeat(1000);
    let moved = state.to_record(&envelope(r#""result": 1"#), "retry".into());
    let reason = moved.headers.last(names::LAST_ERROR).unwrap();
    assert!(reason.len() <= 2048 && !reason.contains(&b'\n'));
}
