//! `schemas/asyncapi.yaml` says the same as the types. That it is a valid document is checked by `tests/asyncapi`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::schemas::schemas;
use super::*;

fn document() -> Value {
    let text = fs::read_to_string(schemas().join("asyncapi.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// Every string in a document that stands under `key`.
fn strings_under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
            Value::String(text) if name == key => found.push(text),
            value => strings_under(value, key, found),
        }),
        Value::Array(values) => values.iter().for_each(|value| strings_under(value, key, found)),
        _ => {}
    }
}

#[test]
fn references_point_at_what_exists() {
    let document = document();
    let mut references = Vec::new();
    strings_under(&document, "$ref", &mut references);
    for reference in references {
        match reference.strip_prefix('#') {
            Some(pointer) => assert!(document.pointer(pointer).is_some(), "{reference}"),
            None => assert!(schemas().join(reference).is_file(), "{reference}"),
        }
    }
}

fn headers<'a>(document: &'a Value, message: &str) -> &'a Value {
    document.pointer(&format!("/components/messages/{message}/headers")).unwrap_or_else(|| panic!("no {message}"))
}

#[test]
fn every_header_of_the_contract_is_described() {
    let document = document();
    let messages = document.pointer("/components/messages").unwrap().as_object().unwrap();
    let described: BTreeSet<&str> = messages
        .keys()
        .flat_map(|message| ["properties", "patternProperties"].map(|part| &headers(&document, message)[part]))
        .flat_map(|part| part.as_object().into_iter().flatten())
        // A pattern stands for a beginning.
        .map(|(name, _)| name.trim_start_matches('^'))
        .collect();
    let names = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire/names.rs")).unwrap();
    let names = names.lines().filter_map(|line| line.split('"').nth(1));
    // Values, and beginnings of names.
    let named: BTreeSet<&str> = names.filter(|name| !name.contains('/') && !name.ends_with(['_', '.'])).collect();
    assert_eq!(described.difference(&named).collect::<Vec<_>>(), [&""; 0], "described, and read by nobody");
    assert_eq!(named.difference(&described).collect::<Vec<_>>(), [&""; 0], "read or written, and not described");
}

#[test]
fn messages_have_the_headers_that_the_types_write() {
    let document = document();
    for (message, out) in written() {
        let described = headers(&document, message);
        for (name, _) in out.headers.iter() {
            assert!(described["properties"].get(name.as_str().unwrap()).is_some(), "{message} lacks header {name}");
        }
        for required in described["required"].as_array().into_iter().flatten() {
            let given = out.headers.last(required.as_str().unwrap()).is_some();
            assert!(given, "{message} is said to have {required}");
        }
    }
}

/// A record of each message, as the types write it.
fn written() -> Vec<(&'static str, OutRecord)> {
    let failure = Failure { reason: "X".into(), message: Some("m".into()), details: None, style: FailureStyle::Java };
    let reply = |mode: Mode, target: Target| {
        ReplyBuilder::new(target, Answer::Fail(failure.clone()))
            .idempotency_key("k")
            .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .event(EventRef { id: "e-1".into(), source: "/shop".into() })
            .mode(mode)
            .into_record("activity-replies".into(), &Limits::default())
            .unwrap()
    };
    let by_token = Target::Token(token());
    let plain = record(&[], None);
    let state = RetryState { attempts: 1, passed: 0, first_seen_ms: 0, not_before_ms: 1, last_error: "down".into() };
    let letter = DeadLetter {
        record: &plain,
        outcome: OutcomeKind::Rejected,
        reason: "bad_json",
        detail: "no JSON",
        attempts: 0,
        engine_status: Some("NOT_FOUND"),
        token: Some(TokenPrinter::new(b"key").print(b"token")),
    };
    let outcome = Outcome {
        activity: Some(by_token.activity()),
        traceparent: Some("00".into()),
        ledger: LedgerEntry::parse(&[0; LedgerEntry::LEN]),
        ..Outcome::new(OutcomeKind::Applied, origin(), 0, 0)
    };
    let request = Request {
        reply_to: Some("activity-replies".into()),
        traceparent: Some("00".into()),
        tracestate: Some("x=y".into()),
        ..Request::new(token())
    };
    vec![
        ("request", request.to_record("activity-requests".into())),
        ("envelope", reply(Mode::Envelope, by_token.clone())),
        ("payload", reply(Mode::Headers, by_token.clone())),
        ("payload", reply(Mode::Headers, Target::ById(activity_id()))),
        ("binaryEvent", reply(Mode::BinaryEvent, by_token.clone())),
        ("structuredEvent", reply(Mode::StructuredEvent, by_token)),
        ("outcome", outcome.into_record("activity-outcomes".into(), 0)),
        ("retry", state.to_record(&plain, "activity-replies-retry-30s".into())),
        ("deadLetter", letter.to_record("activity-replies-dlq".into())),
        ("deadLetter", letter.to_record_with(Kept::Key, "activity-replies-dlq".into())),
    ]
}

#[test]
fn the_words_of_headers_are_those_of_the_types() {
    let document = document();
    let words = |message: &str, name: &str| -> Vec<String> {
        let listed = &headers(&document, message)["properties"][name]["enum"];
        serde_json::from_value(listed.clone()).unwrap_or_else(|_| panic!("{message}, {name}: no words"))
    };
    assert_eq!(words("payload", names::ACTION), Action::ALL.map(Action::as_str));
    assert_eq!(words("payload", names::FAILURE_STYLE), FailureStyle::ALL.map(FailureStyle::as_str));
    assert_eq!(words("binaryEvent", names::CE_FAILURE_STYLE), FailureStyle::ALL.map(FailureStyle::as_str));
    let types = Action::ALL.map(|action| format!("{}{action}", names::EVENT_TYPE_PREFIX));
    assert_eq!(words("binaryEvent", names::CE_TYPE), types);
    assert_eq!(words("outcome", names::OUTCOME), OutcomeKind::ALL.map(OutcomeKind::as_str));
    let letters = words("deadLetter", names::DLQ_OUTCOME);
    assert!(letters.iter().all(|word| OutcomeKind::parse(word).is_some_and(|kind| kind != OutcomeKind::Applied)));
}
