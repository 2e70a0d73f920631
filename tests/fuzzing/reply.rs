//! Replies in each form: `wire::decode`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use handback::wire::{
    Answer, Fingerprint, Headers, LedgerEntry, Limits, Mode, Outcome, OutcomeKind, Record, Refusal, RefusalCode, Reply,
    ReplyBuilder, Target, decode, names,
};
use serde_json::value::RawValue;

use super::text::{expanded, origin, record, record_of};
use super::{SECRET, fit_for_people, measured, read_back};

/// How many times its size a record may cost while it is read. The dearest are exceptions in Spring's headers: three
/// bytes for each that is not UTF-8, six for each control character once they are JSON, and a buffer that grows.
const TIMES: usize = 16;

/// Headers that name what is answered, or how: given twice they are refused (contract, before section 1).
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
    let text = std::str::from_utf8(record.value.as_deref().unwrap_or_default());
    let json = text.is_ok_and(|text| text.is_empty() || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
    match read {
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
            None,
            (reply.idempotency_key.clone(), owned(&reply.metadata), reply.traceparent.clone()),
        ),
        Err(refusal) => (
            None,
            Some((
                refusal.code,
                refusal.detail.clone(),
                refusal.token.clone(),
                refusal.activity.clone(),
                refusal.action,
            )),
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
    }
    written_again_it_is_read_the_same(limits, reply);
    let outcome = Outcome {
        action: Some(reply.answer.action()),
        activity: Some(reply.target.activity()),
        idempotency_key: reply.idempotency_key.clone(),
        fingerprint: Some(reply.fingerprint),
        metadata: reply.metadata.clone(),
        traceparent: reply.traceparent.clone(),
        target_key: reply.target.key(),
        ledger: LedgerEntry::of(&reply.target, reply, origin().offset).map(|it| Bytes::copy_from_slice(&it.to_bytes())),
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
        let text = headers
            .last(names::TASK_TOKEN)
            .map(|text| String::from_utf8_lossy(text).replace('-', "+").replace('_', "/"));
        let encoded = STANDARD.encode(token.bytes());
        let same = text.is_none_or(|text| text.trim_end_matches('=') == encoded.trim_end_matches('='));
        assert!(raw && same, "another token than was received");
    }
}

fn written_again_it_is_read_the_same(limits: &Limits, reply: &Reply) {
    let mut builder = ReplyBuilder::new(reply.target.clone(), reply.answer.clone()).mode(reply.mode);
    if let Some(key) = &reply.idempotency_key {
        builder = builder.idempotency_key(key.clone());
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
        traceparent: refusal.traceparent.clone(),
        ..Outcome::new(OutcomeKind::Rejected, origin(), 0, 1)
    };
    read_back::outcome_is_read_back(&outcome);
    read_back::dead_letter_keeps(record, refusal.code.as_str(), &refusal.detail);
}
