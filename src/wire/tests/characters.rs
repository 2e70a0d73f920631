//! Texts that were cut inside a character, or are too long: what only people read must not cost the answer, and what
//! workflows compare is never altered.

use super::*;

/// How an emoji cut in two is written, and how it is read.
const CUT: [(&str, &str); 5] = [
    (r"no cover \ud83d", "no cover \u{fffd}"),
    (r"\ude00 no cover", "\u{fffd} no cover"),
    (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
    (r"a\ud83dA\n\u00e9é", "a\u{fffd}A\n\u{e9}é"),
    (r"\udfff\ud800", "\u{fffd}\u{fffd}"),
];

fn event(rest: &str) -> Record {
    let value = format!(
        r#"{{"specversion": "1.0", "id": "e-1", "source": "/shop", "tasktoken": "{}", {rest}}}"#,
        token_base64()
    );
    record(&[(names::CONTENT_TYPE, names::CLOUD_EVENT_JSON_TYPE)], Some(value.as_bytes()))
}

fn failing_event(rest: &str) -> Record {
    event(&format!(r#""type": "handback.reply.fail", {rest}"#))
}

#[track_caller]
fn failure(record: &Record, limits: &Limits) -> Failure {
    match decode(record, limits).unwrap().answer {
        Answer::Fail(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_that_was_cut_inside_an_emoji_does_not_cost_the_answer() {
    for (written, read_as) in CUT {
        for record in [
            envelope(&format!(r#""failure": {{"reason": "X", "message": "{written}"}}"#)),
            failing_event(&format!(r#""failurereason": "X", "failuremessage": "{written}""#)),
        ] {
            let failure = failure(&record, &Limits::default());
            assert_eq!((failure.message.as_deref(), failure.reason.as_str()), (Some(read_as), "X"), "{written}");
        }
    }
    // In a header it is cut between the bytes of a character.
    let token = token_base64();
    let cut = &"no cover 😀".as_bytes()[..11];
    let mut in_headers = record(&[(names::TASK_TOKEN, &token), (names::FAILURE_REASON, "X")], None);
    in_headers.headers.push(names::FAILURE_MESSAGE, Bytes::copy_from_slice(cut));
    let mut binary = record(
        &[
            (names::CE_SPECVERSION, "1.0"),
            (names::CE_TYPE, "handback.reply.fail"),
            (names::CE_ID, "e-1"),
            (names::CE_SOURCE, "/shop"),
            (names::CE_TASK_TOKEN, &token),
            (names::CE_FAILURE_REASON, "X"),
        ],
        None,
    );
    binary.headers.push(names::CE_FAILURE_MESSAGE, Bytes::copy_from_slice(cut));
    for record in [in_headers, binary] {
        assert_eq!(failure(&record, &Limits::default()).message.as_deref(), Some("no cover \u{fffd}"));
    }
}

#[test]
fn a_text_that_others_compare_is_refused_and_never_altered() {
    for (written, _) in CUT {
        for (record, place) in [
            (envelope(&format!(r#""failure": {{"reason": "{written}"}}"#)), "`failure.reason`"),
            (failing_event(&format!(r#""failurereason": "{written}""#)), "`failurereason`"),
            (envelope(&format!(r#""result": 1, "idempotency_key": "{written}""#)), "`idempotency_key`"),
            (
                event(&format!(r#""type": "handback.reply.complete", "idempotencykey": "{written}""#)),
                "`idempotencykey`",
            ),
            (
                event(&format!(
                    r#""type": "handback.reply.complete", "datacontenttype": "text/plain", "data": "{written}""#
                )),
                "`data`",
            ),
            (
                record(&[], Some(format!(r#"{{"activity": {{"domain": "{written}"}}, "result": 1}}"#).as_bytes())),
                "`activity.domain`",
            ),
        ] {
            let refusal = refused(&record, RefusalCode::BadField, place);
            assert!(refusal.detail.contains("cut inside a character"), "{}", refusal.detail);
        }
    }
    refused(&envelope(r#""failure": {"reason": 5}"#), RefusalCode::BadField, "`failure.reason` must be a string");
    refused(&envelope(r#""failure": {"reason": "X", "message": 5}"#), RefusalCode::BadField, "must be a string");
}

#[test]
fn half_a_character_in_a_payload_is_passed_on_as_it_was_written() {
    for (written, _) in CUT {
        for (field, action) in [("result", "complete"), ("details", "heartbeat"), ("details", "cancel")] {
            let quoted = format!("\"{written}\"");
            let reply = read(&envelope(&format!(r#""action": "{action}", "{field}": {quoted}"#))).unwrap();
            assert_eq!(reply.answer.engine_payload().as_deref(), Some(quoted.as_bytes()), "{action}");
        }
        let metadata = format!(r#"{{"note": "{written}"}}"#);
        let reply = read(&envelope(&format!(r#""result": 1, "metadata": {metadata}"#))).unwrap();
        assert_eq!(reply.metadata.unwrap().get(), metadata);
    }
}

#[test]
fn a_message_that_is_too_long_is_cut_between_characters_and_the_answer_goes_through() {
    let limits = Limits { max_payload_bytes: 400, ..Limits::default() };
    let token = token_base64();
    for letter in ["é", "😀", "\\n", "\\u0001", "a"] {
        let message = letter.repeat(1000);
        for style in ["generic", "java"] {
            let value = format!(
                r#"{{"task_token": "{token}", "failure": {{"reason": "x.Y", "style": "{style}", "message": "{message}"}}}}"#
            );
            let failure = failure(&record(&[], Some(value.as_bytes())), &limits);
            let sent = failure.engine_details().unwrap().len();
            assert!((394..=400).contains(&sent), "{style} {letter:?}: {sent} bytes");
            let whole: String = serde_json::from_str(&format!("\"{message}\"")).unwrap();
            assert!(whole.starts_with(failure.message.as_deref().unwrap()));
        }
        // What goes nowhere is left as it is.
        let value =
            format!(r#"{{"task_token": "{token}", "failure": {{"reason": "X", "message": "{}"}}}}"#, "m".repeat(900));
        assert_eq!(failure(&record(&[], Some(value.as_bytes())), &limits).message.unwrap().len(), 900);
    }
    for headers in [
        vec![(names::FAILURE_REASON, "x.Y"), (names::FAILURE_STYLE, "java"), (names::FAILURE_MESSAGE, "")],
        vec![(names::FAILURE_STYLE, "generic"), (names::FAILURE_MESSAGE, ""), (names::ACTION, "fail")],
        vec![(names::SPRING_EXCEPTION, "x.Y"), (names::SPRING_EXCEPTION_MESSAGE, "")],
    ] {
        let long = "long ".repeat(200);
        let headers: Vec<_> =
            headers.iter().map(|(name, text)| (*name, if text.is_empty() { &long } else { *text })).collect();
        let headers = [vec![(names::TASK_TOKEN, token.as_str())], headers].concat();
        let sent = failure(&record(&headers, None), &limits).engine_details().unwrap().len();
        assert!((394..=400).contains(&sent), "{sent}");
    }
}

#[test]
fn a_reason_has_4096_bytes_in_the_schema_and_in_the_code() {
    assert_eq!(MAX_REASON_BYTES, 4096);
    let fits = "é".repeat(2048);
    read(&envelope(&format!(r#""failure": {{"reason": "{fits}"}}"#))).unwrap();
    let refusal =
        refused(&envelope(&format!(r#""failure": {{"reason": "{fits}r"}}"#)), RefusalCode::TooLarge, "reason");
    assert!(refusal.detail.contains("4097 bytes; at most 4096"), "{}", refusal.detail);
    for (schema, path) in [
        ("reply", "/$defs/failure/properties/reason/maxLength"),
        ("cloud-event", "/properties/failurereason/maxLength"),
    ] {
        let text = std::fs::read_to_string(super::schemas::schemas().join(format!("{schema}.schema.json"))).unwrap();
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(schema.pointer(path).and_then(serde_json::Value::as_u64), Some(4096), "{path}");
    }
}
