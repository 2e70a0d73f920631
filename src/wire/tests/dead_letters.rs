//! `docs/wire-contract.md`, section 6: dead letters keep what was received and say why they are there.

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
    let headers: Vec<_> = letter
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().unwrap(), std::str::from_utf8(value.unwrap()).unwrap()))
        .collect();
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
            letter.headers.iter().take(record.headers.len()).map(|(n, v)| (n.clone(), v.cloned())).collect();
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

#[test]
fn header_names_are_bytes_and_stay_as_they_are() {
    let mut record = envelope(r#""result": 1"#);
    record.headers.push(b"tr\xe4ce".to_vec(), Bytes::from_static(b"1"));
    record.headers.push(b"\xff\n".to_vec(), None);
    let letter = dead_letter(&record).to_record("dlq".into());
    let kept: Headers = letter.headers.iter().take(2).map(|(n, v)| (n.clone(), v.cloned())).collect();
    assert_eq!(kept, record.headers);
    assert_eq!(text(&letter.headers, names::DLQ_DETAIL), Some("`task_token` is not JSON"));
    assert_eq!(format!("{:?}", record.headers), r#"{"tr\xe4ce": 1 bytes, "\xff\n": null}"#, "safe in a log");
    decode(&record, &Limits::default()).unwrap();
}

#[test]
fn a_header_name_that_could_not_be_read_whole_is_said_and_means_nothing() {
    let mut record = envelope(r#""result": 1"#);
    record.headers.push(b"handback-action\0".to_vec(), Bytes::from_static(b"cancel"));
    assert_eq!(decode(&record, &Limits::default()).unwrap().answer.action(), Action::Complete);
    let detail = "x".repeat(3000);
    let letter = DeadLetter { detail: &detail, ..dead_letter(&record) }.to_record("dlq".into());
    let said = text(&letter.headers, names::DLQ_DETAIL).unwrap();
    assert!(said.ends_with("up to their first NUL: what follows it could not be read") && said.len() == 2048, "{said}");
    assert_eq!(letter.headers.iter().next().unwrap().0.as_bytes(), b"handback-action\0");
}

#[test]
fn headers_that_cannot_be_read_are_a_refusal_and_said() {
    let record = Record { headers: Headers::unreadable(), ..envelope(r#""result": 1"#) };
    refused(&record, RefusalCode::UnreadableHeaders, "cannot be read");
    let letter = dead_letter(&record).to_record("dlq".into());
    assert!(text(&letter.headers, names::DLQ_DETAIL).unwrap().ends_with("could not be read and are not here"));
    let many = (0..=MAX_HEADERS).map(|_| ("x", None)).collect();
    let record = Record { headers: many, ..record };
    refused(&record, RefusalCode::UnreadableHeaders, "99901 headers; at most 99900");
}

#[test]
fn a_dead_letter_never_has_more_headers_than_a_client_reads() {
    const READABLE: usize = 100_000;
    for count in [MAX_HEADERS, MAX_HEADERS + 1, READABLE] {
        let record = Record { headers: (0..count).map(|_| ("x", None)).collect(), ..envelope(r#""result": 1"#) };
        let letter = dead_letter(&record).to_record("dlq".into());
        assert!(letter.headers.len() <= READABLE, "{} of {count}", letter.headers.len());
        let whole = count <= MAX_HEADERS;
        assert_eq!(letter.headers.count("x"), if whole { count } else { 0 });
        let omitted = (!whole).then(|| format!("count={count};size={count}"));
        assert_eq!(text(&letter.headers, names::DLQ_HEADERS_OMITTED), omitted.as_deref());
        assert_eq!((&letter.key, &letter.value), (&record.key, &record.value));
    }
}

#[test]
fn what_stands_for_an_omitted_value_names_it() {
    let mut record = record(&[("x", "1")], Some(b"abc"));
    let letter = dead_letter(&record).to_record_with(Kept::AllButValue, "dlq".into());
    let omitted = text(&letter.headers, names::DLQ_VALUE_OMITTED).unwrap();
    let abc = "size=3;sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((letter.value, omitted), (None, abc));
    assert_eq!(omitted.parse(), Ok(Omitted::of(b"abc")));
    assert_eq!((letter.key.as_ref(), text(&letter.headers, "x")), (record.key.as_ref(), Some("1")));
    for wrong in ["", "size=3", "size=x;sha256=00", &abc.replace("ba", "zz"), &abc.replace("=3", "=-3"), &abc[..70]] {
        assert!(wrong.parse::<Omitted>().is_err(), "{wrong}");
    }

    record.key = Some(Bytes::from(vec![b'k'; 2000]));
    record.headers.push(names::DLQ_VALUE_OMITTED, Bytes::from_static(b"forged"));
    let letter = dead_letter(&record).to_record("dlq".into());
    assert_eq!(letter.headers.last(names::DLQ_VALUE_OMITTED), None, "nothing is omitted, and nobody says otherwise");
    let letter = dead_letter(&record).to_record_with(Kept::Key, "dlq".into());
    assert_eq!((&letter.key, &letter.value), (&None, &None));
    assert!(text(&letter.headers, names::DLQ_KEY_OMITTED).unwrap().starts_with("size=2000;sha256="));
    assert_eq!(text(&letter.headers, names::DLQ_HEADERS_OMITTED), Some("count=2;size=34"));
    assert_eq!(letter.headers.count("x"), 0);
    assert_eq!(source_of(&letter.headers), Some(origin()), "where the original stands");
}
