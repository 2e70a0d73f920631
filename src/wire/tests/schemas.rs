//! `schemas/` says the same as the types: every example goes both ways.

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::Value;

use super::*;

pub(super) fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

pub(super) fn schema(name: &str) -> Validator {
    let text = fs::read_to_string(schemas().join(format!("{name}.schema.json"))).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    assert!(jsonschema::meta::is_valid(&schema), "{name} is not a schema");
    jsonschema::draft202012::new(&schema).unwrap()
}

/// File name and bytes of each example in a folder, in order.
fn examples(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut examples: Vec<_> = fs::read_dir(schemas().join("examples").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
        .collect();
    examples.sort();
    assert!(!examples.is_empty(), "{folder}");
    examples
}

#[track_caller]
pub(super) fn validates(schema: &Validator, name: &str, value: &[u8]) {
    let value: Value = serde_json::from_slice(value).unwrap();
    let errors: Vec<_> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{name}: {errors:?}");
}

/// The code that an invalid example is named after.
fn code(name: &str) -> RefusalCode {
    RefusalCode::parse(name.split("--").next().unwrap()).unwrap_or_else(|| panic!("{name} names no code"))
}

/// A way to write a reply in the value alone: its schema, and headers that say that it is this way.
fn ways() -> [(&'static str, Vec<(&'static str, &'static str)>); 2] {
    [("reply", Vec::new()), ("cloud-event", vec![(names::CONTENT_TYPE, names::CLOUD_EVENT_JSON_TYPE)])]
}

#[test]
fn valid_replies_pass_the_schema_and_are_read() {
    for (way, headers) in ways() {
        let schema = schema(way);
        for (name, value) in examples(&format!("valid/{way}")) {
            validates(&schema, &name, &value);
            let mut record = record(&headers, Some(&value));
            if name.contains("by-correlation-id") {
                record.headers.push(names::CORRELATION_ID, Bytes::from(token_json()));
            }
            let reply = read(&record).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            let action = name.split(['-', '.']).next().unwrap();
            assert_eq!(reply.answer.action().as_str(), action, "{name}");
        }
    }
}

#[test]
fn invalid_replies_are_refused_with_the_code_they_are_named_after() {
    for (way, headers) in ways() {
        let schema = schema(way);
        for (name, value) in examples(&format!("invalid/{way}/schema")) {
            let json: Value = serde_json::from_slice(&value).unwrap();
            assert!(!schema.is_valid(&json), "{name} passes the schema");
            let refusal = read(&record(&headers, Some(&value))).expect_err(&name);
            assert_eq!(refusal.code, code(&name), "{name}: {refusal}");
        }
        for (name, value) in examples(&format!("invalid/{way}/decoder")) {
            if let Ok(json) = serde_json::from_slice::<Value>(&value) {
                assert!(schema.is_valid(&json), "{name} fails the schema: move it to the folder `schema`");
            }
            let refusal = read(&record(&headers, Some(&value))).expect_err(&name);
            assert_eq!(refusal.code, code(&name), "{name}: {refusal}");
        }
    }
}

#[test]
fn requests_and_outcomes_pass_the_schema_exactly_when_they_are_read() {
    let read_request =
        |value: &[u8]| Request::parse(value).map(|request| request.to_value()).map_err(|fault| fault.to_string());
    let read_outcome = |value: &[u8]| {
        let outcome = Outcome::parse(value).map_err(|fault| fault.to_string())?;
        Ok(outcome.into_record("o".into(), 4).value.unwrap())
    };
    type Rewrite<'a> = &'a dyn Fn(&[u8]) -> Result<Bytes, String>;
    for (kind, rewrite) in [("request", &read_request as Rewrite<'_>), ("outcome", &read_outcome)] {
        let schema = schema(kind);
        for (name, value) in examples(&format!("valid/{kind}")) {
            validates(&schema, &name, &value);
            let again = rewrite(&value).unwrap_or_else(|fault| panic!("{name}: {fault}"));
            validates(&schema, &name, &again);
            assert_eq!(rewrite(&again).unwrap(), again, "{name}");
        }
        for (name, value) in examples(&format!("invalid/{kind}")) {
            assert!(!schema.is_valid(&serde_json::from_slice(&value).unwrap()), "{name} passes the schema");
            rewrite(&value).expect_err(&name);
        }
    }
}

#[test]
fn what_the_encoder_writes_passes_the_schema() {
    let (envelope, event_schema) = (schema("reply"), schema("cloud-event"));
    let failure = |style, details: Option<&'static str>| {
        Answer::Fail(Failure {
            reason: "x.Y".into(),
            message: Some("m".into()),
            details: details.map(Bytes::from),
            style,
        })
    };
    for target in [Target::Token(token()), Target::ById(activity_id())] {
        for answer in [
            Answer::Complete { result: None },
            Answer::Complete { result: Some("null".into()) },
            Answer::Complete { result: Some(Bytes::from_static(b"\xff")) },
            Answer::Cancel { details: Some("{}".into()) },
            Answer::Heartbeat { details: None },
            failure(FailureStyle::Custom, Some("null")),
            failure(FailureStyle::Generic, None),
            failure(FailureStyle::Java, Some("{}")),
        ] {
            let builder = ReplyBuilder::new(target.clone(), answer.clone()).idempotency_key("k");
            let record = builder.clone().into_record("r".into(), &Limits::default()).unwrap();
            validates(&envelope, &format!("{answer:?}"), &record.value.unwrap());
            if matches!(target, Target::Token(_)) {
                let event = EventRef { id: "e-1".into(), source: "/shop".into() };
                let record = builder.event(event).mode(Mode::StructuredEvent);
                let record = record.into_record("r".into(), &Limits::default()).unwrap();
                validates(&event_schema, &format!("{answer:?}"), &record.value.unwrap());
            }
        }
    }
}

/// A record with headers, and what becomes of it.
#[derive(Deserialize)]
struct HeaderExample {
    headers: Vec<(String, String)>,
    value: Option<String>,
    expect: Expected,
}

#[derive(Deserialize)]
struct Expected {
    action: Option<Action>,
    style: Option<FailureStyle>,
    reason: Option<String>,
    refusal: Option<String>,
}

#[test]
fn records_with_headers_are_read_as_they_say() {
    for (name, text) in examples("header-mode") {
        let example: HeaderExample = serde_json::from_slice(&text).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let headers = example.headers.into_iter().map(|(name, value)| (name, Some(Bytes::from(value)))).collect();
        let record = Record { origin: origin(), key: None, value: example.value.map(Bytes::from), headers };
        let expected = example.expect;
        match read(&record) {
            Err(refusal) => assert_eq!(Some(refusal.code.as_str()), expected.refusal.as_deref(), "{name}: {refusal}"),
            Ok(reply) => {
                assert_eq!((Some(reply.answer.action()), expected.refusal), (expected.action, None), "{name}");
                if let Answer::Fail(failure) = &reply.answer {
                    let reason = failure.engine_reason();
                    assert_eq!(
                        (Some(failure.style), Some(&*reason)),
                        (expected.style, expected.reason.as_deref()),
                        "{name}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_codes_are_documented() {
    let readme = fs::read_to_string(schemas().join("README.md")).unwrap();
    let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| `")).collect();
    for code in RefusalCode::ALL {
        let row = format!("| `{code}` | {} |", code.meaning());
        assert!(rows.contains(&row.as_str()), "schemas/README.md lacks the row: {row}");
    }
    let outcomes = fs::read_to_string(schemas().join("outcome.schema.json")).unwrap();
    assert!(OutcomeKind::ALL.iter().all(|kind| outcomes.contains(&format!("\"{kind}\""))));
}
