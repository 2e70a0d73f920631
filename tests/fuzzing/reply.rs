//! Replies in each form: `wire::decode`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use handback::wire::{
    Answer, EventRef, Fingerprint, Headers, LedgerEntry, Limits, Mode, Outcome, OutcomeKind, Record, Refusal,
    RefusalCode, Reply, ReplyBuilder, Target, decode, names,
};
use serde_json::value::RawValue;

use super::text::{expanded, origin, record, record_of};
use super::{SECRET, fit_for_people, measured, read_back};

/// How many times its size a record may cost while it is read. The dearest are exceptions in Spring's headers: three
/// bytes for each that is not UTF-8, six for each control character once they are JSON, and a buffer that grows.
const TIMES: usize = 16;

/// Headers that name what is answered, or how: given twice they are refused (`docs/wire-contract.md`, section 0).
const ONCE: [&str; 9] = [
    names::TASK_TOKEN,
    names::CORRELATION_ID,
    names::DOMAIN,
    names::WORKFLOW_ID,
    names::RUN_ID,
    names::ACTIVITY_ID,
    names::ATTEMPT,
    names::ACTION,
    names::FAILURE_REASON,
];

/// Headers that mean nothing on a reply topic, because anybody could have written them.
const MEANINGLESS: [&str; 6] = [
    "x-of-somebody-else",
    names::SOURCE_TOPIC,
    names::SOURCE_OFFSET,
    "handback-attempts",
    "handback-not-before",
    names::DLQ_REASON,
];

/// The bytes are the value of an envelope; no header says so.
pub(crate) fn envelope(bytes: &[u8]) {
    let record = record_of(Headers::new(), Some(expanded(bytes)));
    each_limit(&record);
}

/// The bytes are a record with its headers: every form.
pub(crate) fn headers(bytes: &[u8]) {
    each_limit(&record(bytes));
}

/// Under the usual limits, and under others that are easily met.
fn each_limit(record: &Record) {
    check(record, &Limits::default());
    let tight = Limits {
        max_payload_bytes: 500,
        max_metadata_bytes: 32,
        require_json: true,
        allow_fail_by_id_without_attempt: true,
    };
    check(record, &tight);
}

fn check(record: &Record, limits: &Limits) {
    let read = measured(record.size(), TIMES, || decode(record, limits));
    let mut with_more = record.clone();
    for name in MEANINGLESS {
        with_more.headers.push(name, Bytes::from_static(b"1"));
    }
    assert_eq!(told(&read), told(&decode(&with_more, limits)), "headers that mean nothing changed something");
    if limits.require_json {
        only_json_is_taken(record, &read);
    }
    match read {
        Ok(reply) => accepted(record, limits, &reply),
        Err(refusal) => refused(record, &refusal),
    }
}

/// Where JSON is required of header mode, that is what decides, however deep it is nested.
fn only_json_is_taken(record: &Record, read: &Result<Reply, Box<Refusal>>) {
    let is_json = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes);
        text.is_ok_and(|text| text.is_empty() || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
    };
    let json = is_json(record.value.as_deref().unwrap_or_default());
    match read {
        Ok(Reply { mode: Mode::StructuredEvent, answer, .. }) => {
            let payload = match answer {
                Answer::Fail(failure) => failure.details.clone(),
                answer => answer.engine_payload(),
            };
            assert!(payload.is_none_or(|payload| is_json(&payload)), "not JSON, and taken");
        }
        // The value is an event, and its data is what was judged.
        Err(refusal) if refusal.event.is_some() => {}
        // Spring's dead letters hold the request, which is not ours to judge.
        Ok(reply) if reply.mode == Mode::Envelope || record.headers.count(names::SPRING_EXCEPTION) > 0 => {}
        Ok(_) => assert!(json, "not JSON, and taken"),
        Err(refusal) => assert!(refusal.code != RefusalCode::RequireJson || !json, "JSON, and refused"),
    }
}

/// Everything that is learnt of a record, for comparing.
fn told(read: &Result<Reply, Box<Refusal>>) -> impl PartialEq + std::fmt::Debug + use<> {
    let owned = |metadata: &Option<Box<RawValue>>| metadata.as_ref().map(|raw| raw.get().to_owned());
    match read {
        Ok(reply) => (
            Some((reply.target.clone(), reply.answer.clone(), reply.mode, reply.fingerprint)),
            (None, reply.event.clone()),
            (reply.idempotency_key.clone(), owned(&reply.metadata), reply.traceparent.clone()),
        ),
        Err(refusal) => (
            None,
            (
                Some((
                    refusal.code,
                    refusal.detail.clone(),
                    refusal.token.clone(),
                    refusal.activity.clone(),
                    refusal.action,
                )),
                refusal.event.clone(),
            ),
            (refusal.idempotency_key.clone(), owned(&refusal.metadata), refusal.traceparent.clone()),
        ),
    }
}

fn accepted(record: &Record, limits: &Limits, reply: &Reply) {
    assert!(!format!("{:?}", reply.answer).contains(SECRET), "an answer shows its content");
    assert_eq!(reply.fingerprint, Fingerprint::of(&reply.answer));
    assert!(reply.answer.engine_payload().map_or(0, |payload| payload.len()) <= limits.max_payload_bytes);
    match reply.mode {
        Mode::Envelope => as_in_the_envelope(record, reply),
        Mode::Headers => as_in_the_headers(record, reply),
        Mode::BinaryEvent => as_in_the_attributes(record, reply),
        Mode::StructuredEvent => as_in_the_event(record, reply),
    }
    written_again_it_is_read_the_same(limits, reply);
    let outcome = Outcome {
        action: Some(reply.answer.action()),
        activity: Some(reply.target.activity()),
        idempotency_key: reply.idempotency_key.clone(),
        fingerprint: Some(reply.fingerprint),
        metadata: reply.metadata.clone(),
        cloud_event: reply.event.clone(),
        traceparent: reply.traceparent.clone(),
        ledger: LedgerEntry::of(&reply.target, reply, origin().offset),
        ..Outcome::new(OutcomeKind::Applied, origin(), 0, 1)
    };
    read_back::outcome_is_read_back(&outcome);
}

/// The payload of an envelope is the very text of its field, or its base64 decoded.
fn as_in_the_envelope(record: &Record, reply: &Reply) {
    let Some(value) = &record.value else { panic!("an envelope without a value") };
    let Ok(fields) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(value) else { panic!("not an object") };
    let given = |name: &str| fields.get(name).filter(|raw| raw.get() != "null").copied();
    let inner;
    let (payload, plain, encoded) = match &reply.answer {
        Answer::Complete { result } => (result, fields.get("result").copied(), given("result_base64")),
        Answer::Cancel { details } | Answer::Heartbeat { details } => (details, given("details"), None),
        Answer::Fail(failure) => {
            let Some(raw) = given("failure") else { panic!("a failure from nowhere") };
            inner = serde_json::from_str::<BTreeMap<String, &RawValue>>(raw.get()).unwrap_or_default();
            let given = |name: &str| inner.get(name).filter(|raw| raw.get() != "null").copied();
            (&failure.details, given("details"), given("details_base64"))
        }
    };
    match (encoded.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok()), plain) {
        (Some(text), _) => {
            let standard = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
            assert_eq!(STANDARD_NO_PAD.encode(payload.as_deref().unwrap_or_default()), standard, "other bytes");
            assert!(payload.as_ref().is_none_or(|payload| !payload.is_empty()), "no bytes are nothing");
        }
        (None, Some(raw)) => {
            assert_eq!(payload.as_deref(), Some(raw.get().as_bytes()), "other bytes than were received");
            let within = |payload: &Bytes| value.as_ptr_range().contains(&payload.as_ptr());
            assert!(payload.as_ref().is_some_and(within), "a payload was copied");
        }
        (None, None) => assert_eq!(payload, &None, "a payload from nowhere"),
    }
}

/// The payload of header mode is the value; what names the answer stands once; of the rest the last wins.
fn as_in_the_headers(record: &Record, reply: &Reply) {
    let headers = &record.headers;
    for name in ONCE {
        assert!(headers.count(name) <= 1, "{name} is given twice, and the reply was taken");
    }
    let value = record.value.as_deref().filter(|value| !value.is_empty());
    match &reply.answer {
        Answer::Complete { result: payload }
        | Answer::Cancel { details: payload }
        | Answer::Heartbeat { details: payload } => {
            assert_eq!(payload.as_deref(), value, "other bytes than were received");
        }
        Answer::Fail(failure) if headers.last(names::SPRING_EXCEPTION).is_some() => assert_eq!(failure.details, None),
        Answer::Fail(failure) => assert_eq!(failure.details.as_deref(), value, "other bytes than were received"),
    }
    let key = headers.last(names::IDEMPOTENCY_KEY).map(|key| &key[..]);
    assert_eq!(reply.idempotency_key.as_deref().map(str::as_bytes), key, "the last wins");
    if let Target::Token(token) = &reply.target {
        let raw = headers.last(names::CORRELATION_ID).is_none_or(|raw| raw == token.bytes());
        // Either alphabet of base64, and white space anywhere: tools break lines.
        let text = headers.last(names::TASK_TOKEN).map(|text| {
            let text = String::from_utf8_lossy(text).replace('-', "+").replace('_', "/");
            text.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>()
        });
        let encoded = STANDARD.encode(token.bytes());
        let same = text.is_none_or(|text| text.trim_end_matches('=') == encoded.trim_end_matches('='));
        assert!(raw && same, "another token than was received");
    }
}

/// The payload as the answer holds it, before anything is made of it for the engine.
fn payload(answer: &Answer) -> Option<&Bytes> {
    match answer {
        Answer::Complete { result: payload }
        | Answer::Cancel { details: payload }
        | Answer::Heartbeat { details: payload } => payload.as_ref(),
        Answer::Fail(failure) => failure.details.as_ref(),
    }
}

/// The payload of a binary event is the value; what names the answer stands once.
fn as_in_the_attributes(record: &Record, reply: &Reply) {
    for (name, _) in record.headers.iter() {
        let means = ["specversion", "type", "id", "source", "tasktoken", "idempotencykey", "failurereason"];
        let Some(text) = name.as_str() else { continue };
        let means = text.strip_prefix("ce_").is_some_and(|name| means.contains(&name));
        assert!(!means || record.headers.count(text) == 1, "{name} is given twice, and the reply was taken");
    }
    let value = record.value.as_deref().filter(|value| !value.is_empty());
    assert_eq!(payload(&reply.answer).map(|payload| &payload[..]), value, "other bytes than were received");
    let Some(event) = &reply.event else { panic!("an event without a name") };
    let header = |name: &str| record.headers.last(name).map(|value| &value[..]);
    assert_eq!((header("ce_id"), header("ce_source")), (Some(event.id.as_bytes()), Some(event.source.as_bytes())));
    let kind = format!("handback.reply.{}", reply.answer.action());
    assert_eq!((header("ce_type"), header("ce_specversion")), (Some(kind.as_bytes()), Some(&b"1.0"[..])));
}

/// The payload of a structured event is the text of its `data`, what the string in it says, or its base64 decoded.
fn as_in_the_event(record: &Record, reply: &Reply) {
    let Some(value) = &record.value else { panic!("an event without a value") };
    let Ok(fields) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(value) else { panic!("not an object") };
    let given = |name: &str| fields.get(name).filter(|raw| raw.get() != "null").copied();
    let text = |name: &str| given(name).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let Some(event) = &reply.event else { panic!("an event without a name") };
    assert_eq!((text("id"), text("source")), (Some(event.id.clone()), Some(event.source.clone())));
    assert_eq!(text("type"), Some(format!("handback.reply.{}", reply.answer.action())));
    assert_eq!(text("specversion").as_deref(), Some("1.0"));
    assert_eq!(text("idempotencykey"), reply.idempotency_key);
    let payload = payload(&reply.answer);
    assert!(payload.is_none_or(|payload| !payload.is_empty()), "no bytes are nothing");
    match (text("data_base64"), fields.get("data")) {
        (Some(encoded), _) => {
            let standard = encoded.trim_end_matches('=').replace('-', "+").replace('_', "/");
            assert_eq!(STANDARD_NO_PAD.encode(payload.map(|it| &it[..]).unwrap_or_default()), standard, "other bytes");
        }
        (None, None) => assert_eq!(payload, None, "a payload from nowhere"),
        (None, Some(raw)) => {
            let exact = payload.is_some_and(|payload| payload == raw.get().as_bytes());
            let said = text("data").unwrap_or_default();
            let content =
                text("datacontenttype").is_some() && payload.map_or("".as_bytes(), |it| it) == said.as_bytes();
            assert!(exact || content, "other bytes than were received");
        }
    }
}

fn written_again_it_is_read_the_same(limits: &Limits, reply: &Reply) {
    let mut builder = ReplyBuilder::new(reply.target.clone(), reply.answer.clone()).mode(reply.mode);
    if let Some(key) = &reply.idempotency_key {
        builder = builder.idempotency_key(key.clone());
    }
    if let Some(event) = &reply.event {
        builder = builder.event(EventRef::clone(event));
    }
    if let Some(metadata) = &reply.metadata {
        builder = builder.metadata(metadata.clone());
    }
    if let Some(traceparent) = &reply.traceparent {
        builder = builder.traceparent(traceparent.clone());
    }
    let out = match builder.into_record("activity-replies".into(), limits) {
        Ok(out) => out,
        Err(refusal) => panic!("what was read cannot be written: {refusal}"),
    };
    let again = decode(&record_of(out.headers, out.value), limits);
    assert_eq!(told(&again), told(&Ok(reply.clone())), "what was written is read otherwise");
}

fn refused(record: &Record, refusal: &Refusal) {
    fit_for_people(&refusal.detail);
    fit_for_people(&refusal.to_string());
    if let Some(token) = &refusal.token {
        // Nothing shorter can be a token, and short ones are in any text.
        let long = token.bytes().len() > 48;
        let raw = std::str::from_utf8(token.bytes()).is_ok_and(|raw| refusal.detail.contains(raw));
        assert!(!long || !raw && !refusal.detail.contains(&STANDARD_NO_PAD.encode(token.bytes())), "shows a token");
    }
    let outcome = Outcome {
        action: refusal.action,
        reason: Some(refusal.code.as_str().into()),
        detail: Some(refusal.detail.clone()),
        activity: refusal.activity.clone(),
        idempotency_key: refusal.idempotency_key.clone(),
        metadata: refusal.metadata.clone(),
        cloud_event: refusal.event.clone(),
        traceparent: refusal.traceparent.clone(),
        ..Outcome::new(OutcomeKind::Rejected, origin(), 0, 1)
    };
    read_back::outcome_is_read_back(&outcome);
    read_back::dead_letter_keeps(record, refusal.code.as_str(), &refusal.detail);
}
