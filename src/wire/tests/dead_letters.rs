//! Section 6: dead letters keep what was received and say why they are there.

use super::*;

fn dead_letter(record: &Record) -> DeadLetter<'_> {
    DeadLetter {
        record,
        outcome: OutcomeKind::Rejected,
        reason: RefusalCode::BadToken.as_str(),
        detail: "`task_token` is not JSON",
        attempts: 2,
        engine_status: Some("NOT_FOUND"),
        token: Some(TokenPrinter::new(b"key").print(b"token")),
    }
}

#[test]
fn dead_letter_headers_name_source_and_reason() {
    let record = envelope(r#""result": 1"#);
    let letter = dead_letter(&record).to_record("activity-replies-dlq".into());
    assert_eq!(letter.partition, Some(4), "the origin's partition number");
    let expected = [
        (names::SOURCE_TOPIC, "activity-replies"),
        (names::SOURCE_PARTITION, "4"),
        (names::SOURCE_OFFSET, "1187"),
        (names::SOURCE_TIMESTAMP, "2026-11-22T10:00:07.000Z"),
        (names::DLQ_OUTCOME, "rejected"),
        (names::DLQ_REASON, "bad_token"),
        (names::DLQ_DETAIL, "`task_token` is not JSON"),
        (names::DLQ_ATTEMPTS, "2"),
        (names::DLQ_ENGINE_STATUS, "NOT_FOUND"),
        (names::DLQ_TOKEN, &TokenPrinter::new(b"key").print(b"token").to_string()),
    ];
    let headers: Vec<_> =
        letter.headers.iter().map(|(name, value)| (name, std::str::from_utf8(value.unwrap()).unwrap())).collect();
    assert_eq!(headers, expected);
    assert_eq!(source_of(&letter.headers), Some(origin()));
}

#[test]
fn key_value_and_headers_stay_as_received() {
    let mut records =
        vec![envelope(r#""result": 1"#), record(&[], None), record(&[("x", "1"), ("x", "2")], Some(b"\xff\0"))];
    records[1].key = None;
    records[2].headers.push("null", None);
    for record in records {
        let letter = dead_letter(&record).to_record("dlq".into());
        assert_eq!((&letter.key, &letter.value), (&record.key, &record.value));
        let kept: Headers =
            letter.headers.iter().take(record.headers.len()).map(|(n, v)| (n.to_owned(), v.cloned())).collect();
        assert_eq!(kept, record.headers);
    }
}

#[test]
fn forged_headers_are_kept_but_never_speak_for_handback() {
    let forged = [
        (names::SOURCE_TOPIC, "payroll"),
        (names::SOURCE_PARTITION, "0"),
        (names::SOURCE_OFFSET, "0"),
        (names::SOURCE_TIMESTAMP, "1999-01-01T00:00:00Z"),
        (names::DLQ_OUTCOME, "applied"),
        (names::DLQ_ENGINE_STATUS, "OK"),
        (names::DLQ_TOKEN, "000000000000"),
    ];
    let mut record = record(&forged, Some(b"OK"));
    record.origin.timestamp_ms = None;
    let letter = DeadLetter { engine_status: None, token: None, ..dead_letter(&record) }.to_record("dlq".into());
    assert_eq!(source_of(&letter.headers), Some(record.origin), "the last of each name is ours");
    assert_eq!(text(&letter.headers, names::DLQ_OUTCOME), Some("rejected"));
    for name in [names::DLQ_ENGINE_STATUS, names::DLQ_TOKEN, names::SOURCE_TIMESTAMP] {
        assert_eq!(letter.headers.last(name), None, "nothing was known, and nobody says otherwise: {name}");
    }
    let first: Vec<_> = letter.headers.iter().take(forged.len()).map(|(n, v)| (n, v.unwrap().clone())).collect();
    assert!(first.iter().zip(forged).all(|(kept, sent)| kept.0 == sent.0 && kept.1 == sent.1.as_bytes()));
}

#[test]
fn a_record_that_is_moved_again_keeps_its_first_origin() {
    let record = envelope(r#""result": 1"#);
    let first = dead_letter(&record).to_record("activity-replies-retry-30s".into());
    // On a topic that handback alone writes, the origin is read from the headers.
    let again = Record {
        origin: source_of(&first.headers).unwrap(),
        key: first.key.clone(),
        value: first.value.clone(),
        headers: first.headers.clone(),
    };
    let second = dead_letter(&again).to_record("dlq".into());
    assert_eq!(second.headers.count(names::SOURCE_TOPIC), 1);
    assert_eq!(source_of(&second.headers), Some(origin()));
}

#[test]
fn details_are_one_short_line() {
    let record = envelope(r#""result": 1"#);
    let detail = format!("a\r\nb\0{}", "\u{e9}".repeat(4000));
    let letter = DeadLetter { detail: &detail, ..dead_letter(&record) }.to_record("dlq".into());
    let line = text(&letter.headers, names::DLQ_DETAIL).unwrap();
    assert!(line.starts_with("a  b \u{e9}") && line.len() <= 2048 && line.len() > 2040);
}
