//! The contract, promise by promise.

mod asyncapi;
mod characters;
mod contract;
mod dead_letters;
mod encoder;
mod envelope;
mod events;
mod failures;
mod fingerprints;
mod header_mode;
mod limits;
mod mistakes;
mod outcomes;
mod properties;
mod requests;
mod retries;
mod schemas;
mod secrets;
mod targets;
mod tokens;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::*;

pub(super) const DOMAIN_ID: &str = "01a20512-c4f1-7204-8a3e-9b1d2c3e4f50";
pub(super) const RUN_ID: &str = "b5c5a5d2-7f0e-4b7c-9a51-2f6f0c1d9e83";

/// A token as the engine writes it.
pub(super) fn token_json() -> String {
    token_with("order-17", 12, 0)
}

pub(super) fn token_with(workflow_id: &str, schedule_id: i64, attempt: i64) -> String {
    format!(
        r#"{{"domainId":"{DOMAIN_ID}","workflowId":"{workflow_id}","workflowType":"OrderWorkflow","runId":"{RUN_ID}","scheduleId":{schedule_id},"scheduleAttempt":{attempt},"activityId":"3","activityType":"ChargeCard"}}"#
    )
}

pub(super) fn token() -> TaskToken {
    TaskToken::check(token_json().into()).unwrap()
}

pub(super) fn token_base64() -> String {
    STANDARD.encode(token_json())
}

pub(super) fn activity_id() -> ActivityId {
    ActivityId {
        domain: "orders".into(),
        workflow_id: "order-17".into(),
        run_id: RUN_ID.into(),
        activity_id: "3".into(),
        attempt: Some(0),
    }
}

pub(super) fn origin() -> Origin {
    Origin { topic: "activity-replies".into(), partition: 4, offset: 1187, timestamp_ms: Some(1_795_341_607_000) }
}

/// A record on a reply topic.
pub(super) fn record(headers: &[(&'static str, &str)], value: Option<&[u8]>) -> Record {
    let mut all = Headers::new();
    for (name, value) in headers {
        all.push(*name, Bytes::copy_from_slice(value.as_bytes()));
    }
    Record {
        origin: origin(),
        key: Some("orders/order-17".into()),
        value: value.map(Bytes::copy_from_slice),
        headers: all,
    }
}

/// An envelope for the usual token with `rest` behind it, like `"result": 1`.
pub(super) fn envelope(rest: &str) -> Record {
    let value = format!(r#"{{"task_token": "{}", {rest}}}"#, token_base64());
    record(&[], Some(value.as_bytes()))
}

/// Reads a record under the usual limits.
pub(super) fn read(record: &Record) -> Result<Reply, Box<Refusal>> {
    decode(record, &Limits::default())
}

/// The refusal of a record, which must have this code and name this place.
#[track_caller]
pub(super) fn refused(record: &Record, code: RefusalCode, names: &str) -> Refusal {
    let refusal = read(record).expect_err("refused");
    assert_eq!(refusal.code, code, "{}", refusal.detail);
    assert!(refusal.detail.contains(names), "`{names}` is not named in: {}", refusal.detail);
    *refusal
}

/// The header of a record to be written, as text.
pub(super) fn text<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.last(name).map(|value| std::str::from_utf8(value).unwrap())
}
