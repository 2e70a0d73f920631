//! `docs/wire-contract.md`, section 3.1: the JSON envelope. Whole documents, good and bad, are in `schemas/examples`.

use super::*;

#[track_caller]
fn result_of(rest: &str) -> Option<Bytes> {
    match read(&envelope(rest)).unwrap().answer {
        Answer::Complete { result } => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn result_bytes_are_those_received() {
    for result in [
        "1250.10",
        "12345678901234567890123456789",
        "1E+2",
        "-0",
        "\"caf\\u00e9 \\/ \u{e9}\"",
        "{ \"a\" :\t1 ,\n\"a\": 2 }",
        "[]",
        "null",
        "\"\\ud800\"",
    ] {
        let record = envelope(&format!("\"result\":  {result} "));
        let Answer::Complete { result: Some(bytes) } = read(&record).unwrap().answer else { panic!("{result}") };
        assert_eq!(bytes, result.as_bytes());
        let whole = record.value.unwrap();
        assert!(whole.as_ptr_range().contains(&bytes.as_ptr()), "copied: {result}");
    }
}

#[test]
fn no_result_null_and_empty_bytes_are_told_apart() {
    assert_eq!(result_of(r#""action": "complete""#), None);
    assert_eq!(result_of(r#""result": null"#).as_deref(), Some(&b"null"[..]));
    assert_eq!(
        result_of(r#""result": null, "action": null, "failure": null, "details": null"#).as_deref(),
        Some(&b"null"[..])
    );
    assert_eq!(result_of(r#""result_base64": """#), None);
    assert_eq!(result_of(r#""result_base64": null, "action": "complete""#), None);
    assert_eq!(result_of(r#""result": null, "result_base64": "AAE""#).as_deref(), Some(&b"\x00\x01"[..]));
}

#[test]
fn failure_wins_over_a_result_however_wrong() {
    for beside in [r#""result": {"a": 1}"#, r#""result_base64": "not base64!""#, r#""result": 1, "result_base64": 5"#] {
        let reply = read(&envelope(&format!(r#"{beside}, "failure": {{"reason": "CardDeclined"}}"#))).unwrap();
        assert_eq!(reply.answer.action(), Action::Fail, "{beside}");
    }
}

#[test]
fn details_go_with_cancel_and_heartbeat_as_received() {
    for (action, details, expected) in [
        ("cancel", r#", "details": {"by": "ops" }"#, Some(&br#"{"by": "ops" }"#[..])),
        ("heartbeat", r#", "details": 40, "result": null, "result_base64": null"#, Some(b"40")),
        ("heartbeat", r#", "details": null"#, None),
        ("cancel", "", None),
    ] {
        let reply = read(&envelope(&format!(r#""action": "{action}"{details}"#))).unwrap();
        assert_eq!(reply.answer.action().as_str(), action);
        assert_eq!(reply.answer.engine_payload().as_deref(), expected);
    }
}

#[test]
fn key_metadata_and_trace_are_kept() {
    let mut record = envelope(r#""result": 1, "idempotency_key": "k\u00e9y", "metadata": { "a":1.10 }"#);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    record.headers.push(names::TRACEPARENT, Bytes::from_static(trace.as_bytes()));
    let reply = read(&record).unwrap();
    assert_eq!(reply.idempotency_key.as_deref(), Some("k\u{e9}y"));
    assert_eq!(reply.metadata.unwrap().get(), r#"{ "a":1.10 }"#);
    assert_eq!(reply.traceparent.as_deref(), Some(trace));
    assert_eq!(reply.mode, Mode::Envelope);
    record.headers.push(names::TRACEPARENT, Bytes::from_static(b"rubbish"));
    assert_eq!(read(&record).unwrap().traceparent, None, "a wrong trace context costs no answer");
}

#[test]
fn null_and_empty_values_say_what_is_missing() {
    refused(&record(&[], None), RefusalCode::Tombstone, "null");
    refused(&record(&[], Some(b"")), RefusalCode::EmptyValue, "empty");
    refused(&record(&[], Some(b"  ")), RefusalCode::BadJson, "EOF");
    refused(
        &record(&[("content-type", names::ENVELOPE_TYPE), ("handback-task-token", "x")], None),
        RefusalCode::Tombstone,
        "",
    );
}

#[test]
fn wrong_names_are_shown_only_when_they_look_like_names() {
    let token = token_base64();
    for (name, shown) in [
        ("taskToken", "`taskToken`; did you mean `task_token`?"),
        ("Result", "`Result`; did you mean `result`?"),
        ("zzz", "unknown field `zzz`"),
        (&token[..], "with a name of"),
        ("a\\nb", "with a name of 3 bytes"),
        ("", "with a name of 0 bytes"),
    ] {
        let refusal = refused(&envelope(&format!(r#""{name}": 1, "result": 1"#)), RefusalCode::UnknownField, shown);
        assert!(!refusal.detail.contains(&token));
    }
}

#[test]
fn syntax_is_told_before_names_and_names_before_targets() {
    let twice_and_broken = record(&[], Some(br#"{"result": 1, "result": 2, "x": }"#));
    refused(&twice_and_broken, RefusalCode::BadJson, "");
    let unknown_without_target = record(&[], Some(br#"{"result": 1, "x": 2}"#));
    refused(&unknown_without_target, RefusalCode::UnknownField, "`x`");
}

#[test]
fn an_envelope_that_headers_contradict_is_refused() {
    let with = |rest: &str, name: &'static str, value: &'static str| {
        let mut record = envelope(rest);
        record.headers.push(name, Bytes::from_static(value.as_bytes()));
        record
    };
    let result = r#""result": 1"#;
    refused(&with(result, names::FAILURE_REASON, "X"), RefusalCode::Contradiction, "handback-failure-reason");
    refused(&with(result, names::ACTION, "fail"), RefusalCode::Contradiction, "handback-action");
    read(&with(result, names::ACTION, "complete")).unwrap();
    read(&with(r#""failure": {"reason": "X"}"#, names::FAILURE_REASON, "Y")).unwrap();
}
