//! Replies to feed a worker with.

use bytes::Bytes;

use super::books::{OUTCOMES, REPLIES};
use crate::wire::{
    ActivityId, Answer, Failure, FailureStyle, Headers, Limits, Origin, OutRecord, Record, ReplyBuilder, Target,
    TaskToken,
};

pub(super) const DOMAIN_ID: &str = "5a1d3c6e-7f6f-4d57-9d2c-0d8a3c0b8a11";
pub(super) const RUN_ID: &str = "b5c5d0a4-1c38-4c1b-8f5e-2f7a4c1d9e00";

/// A task token as the engine writes it. Each activity is in a workflow of its own.
pub(super) fn token_bytes(activity: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"domainId":"{DOMAIN_ID}","workflowId":"w-{activity}","runId":"{RUN_ID}","scheduleId":5,"scheduleAttempt":0,"activityId":"{activity}","activityType":"Charge","workflowType":"Order"}}"#
    ))
}

/// A domain that nobody has registered.
pub(super) const STRANGE_ID: &str = "7c3f5e80-9b81-4f79-9f4e-2fac5e2dac33";

/// A token of another domain.
pub(super) fn token_of(domain_id: &str, activity: &str) -> Target {
    let text = String::from_utf8(token_bytes(activity).to_vec()).unwrap();
    Target::Token(TaskToken::check(Bytes::from(text.replace(DOMAIN_ID, domain_id))).unwrap())
}

pub(super) fn token(activity: &str) -> Target {
    Target::Token(TaskToken::check(token_bytes(activity)).unwrap())
}

pub(super) fn by_id(domain: &str, activity: &str, attempt: Option<i64>) -> Target {
    let (workflow_id, activity_id) = (format!("w-{activity}"), activity.to_owned());
    Target::ById(ActivityId { domain: domain.to_owned(), workflow_id, run_id: RUN_ID.to_owned(), activity_id, attempt })
}

pub(super) fn reply(target: Target, answer: Answer) -> Record {
    let written = ReplyBuilder::new(target, answer).into_record(REPLIES.into(), &Limits::default()).unwrap();
    Record { origin: nowhere(), key: written.key, value: written.value, headers: written.headers }
}

pub(super) fn complete(activity: &str) -> Record {
    reply(token(activity), completed())
}

pub(super) fn completed() -> Answer {
    Answer::Complete { result: Some(Bytes::from_static(b"{\"charge\": 1}")) }
}

pub(super) fn completes(activities: impl IntoIterator<Item = usize>) -> Vec<Record> {
    activities.into_iter().map(|number| complete(&format!("a{number}"))).collect()
}

pub(super) fn fail(activity: &str) -> Record {
    let failure =
        Failure { reason: "CardDeclined".to_owned(), message: None, details: None, style: FailureStyle::Custom };
    reply(token(activity), Answer::Fail(failure))
}

pub(super) fn heartbeat(activity: &str) -> Record {
    reply(token(activity), Answer::Heartbeat { details: None })
}

/// A record that is no reply.
pub(super) fn rubbish(value: &'static [u8]) -> Record {
    let mut headers = Headers::new();
    headers.push("trace", Bytes::from_static(b"\x00\xff"));
    headers.push("trace", None);
    Record { origin: nowhere(), key: Some(Bytes::from_static(b"k")), value: Some(Bytes::from_static(value)), headers }
}

fn nowhere() -> Origin {
    Origin { topic: OUTCOMES.into(), partition: -1, offset: -1, timestamp_ms: None }
}

/// A record as somebody else wrote it on this topic.
pub(super) fn on_topics(topic: &'static str, record: &Record) -> OutRecord {
    let Record { key, value, headers, .. } = record.clone();
    OutRecord { topic: topic.into(), partition: Some(0), key, value, headers }
}
