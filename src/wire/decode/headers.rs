//! Header mode (`docs/wire-contract.md`, section 3.2): the headers say what to do, the value is the payload, untouched.

use std::borrow::Cow;

use bytes::Bytes;

use super::super::{Failure, FailureStyle, json};
use super::envelope::check_failure;
use super::target::{Ids, Words, resolve};
use super::{Action, Answer, Draft, Fault, Headers, Limits, Mode, Record, RefusalCode, Seen, Target};
use super::{check_answer, check_key, decode_base64, form, names, with_fitting_message};

const WORDS: Words = Words {
    code: RefusalCode::BadHeader,
    token: "header handback-task-token",
    domain: "header handback-domain",
    workflow_id: "header handback-workflow-id",
    run_id: "header handback-run-id",
    activity_id: "header handback-activity-id",
    attempt: "header handback-attempt",
};

/// The same, when the token came as correlation id.
const CORRELATION_WORDS: Words = Words { token: "header kafka_correlationId", ..WORDS };

pub(super) fn read(record: &Record, limits: &Limits, seen: &mut Seen) -> Result<Draft, Fault> {
    let idempotency_key = idempotency_key(&record.headers);
    match answer(record, limits, seen) {
        Ok((target, answer)) => {
            let idempotency_key = idempotency_key?;
            let (metadata, traceparent, event) = (None, None, None);
            Ok(Draft { target, answer, idempotency_key, metadata, traceparent, event, mode: Mode::Headers })
        }
        Err(fault) => {
            seen.idempotency_key = idempotency_key.ok().flatten();
            Err(fault)
        }
    }
}

fn answer(record: &Record, limits: &Limits, seen: &mut Seen) -> Result<(Target, Answer), Fault> {
    let headers = &record.headers;
    let target = target(headers, seen)?;
    let payload = record.value.clone().filter(|value| !value.is_empty());
    let spring = form::given(headers, names::SPRING_EXCEPTION);
    let action = action(headers, spring)?;
    seen.action = Some(action);
    form::refuse_unread_failure(headers, action)?;
    let answer = match action {
        Action::Complete => Answer::Complete { result: payload },
        Action::Cancel => Answer::Cancel { details: payload },
        Action::Heartbeat => Answer::Heartbeat { details: payload },
        Action::Fail if spring => Answer::Fail(spring_failure(headers, limits)?),
        Action::Fail => Answer::Fail(failure(headers, payload, limits)?),
    };
    let place = match &answer {
        Answer::Fail(_) if spring => "the exception made from header kafka_dlt-exception-message",
        Answer::Fail(failure) if failure.style == FailureStyle::Generic => "header handback-failure-message",
        _ => "the value",
    };
    check_answer(&answer, &target, place, limits)?;
    if limits.require_json && !spring {
        check_json(record.value.as_ref(), "the value")?;
    }
    Ok((target, answer))
}

fn idempotency_key(headers: &Headers) -> Result<Option<String>, Fault> {
    let Some(key) = last_text(headers, names::IDEMPOTENCY_KEY)? else { return Ok(None) };
    check_key(key, RefusalCode::BadHeader, "header handback-idempotency-key")?;
    Ok(Some(key.to_owned()))
}

fn target(headers: &Headers, seen: &mut Seen) -> Result<Target, Fault> {
    let correlation_id = once(headers, names::CORRELATION_ID)?;
    let ids = ids(headers)?;
    let Some(text) = once(headers, names::TASK_TOKEN)? else {
        return resolve(correlation_id.cloned(), ids.as_ref(), &CORRELATION_WORDS, seen);
    };
    let Some(token) = decode_base64(text) else {
        return Err(Fault::new(RefusalCode::BadBase64, "header handback-task-token is not base64"));
    };
    let target = resolve(Some(Bytes::from(token)), ids.as_ref(), &WORDS, seen)?;
    if let (Some(other), Target::Token(token)) = (correlation_id, &target)
        && other != token.bytes()
    {
        let detail = "headers handback-task-token and kafka_correlationId hold different tokens";
        return Err(Fault::new(RefusalCode::TargetMismatch, detail));
    }
    Ok(target)
}

/// The ids in the headers, or `None` when there is none of them.
fn ids(headers: &Headers) -> Result<Option<Ids<'_>>, Fault> {
    let text = |name: &str| Ok::<_, Fault>(once_text(headers, name)?.map(Cow::Borrowed));
    let ids = Ids {
        domain: text(names::DOMAIN)?,
        workflow_id: text(names::WORKFLOW_ID)?,
        run_id: text(names::RUN_ID)?,
        activity_id: text(names::ACTIVITY_ID)?,
        attempt: once_text(headers, names::ATTEMPT)?.map(attempt).transpose()?,
    };
    let none = ids.domain.is_none()
        && ids.workflow_id.is_none()
        && ids.run_id.is_none()
        && ids.activity_id.is_none()
        && ids.attempt.is_none();
    Ok(if none { None } else { Some(ids) })
}

fn attempt(text: &str) -> Result<i64, Fault> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| Fault::new(RefusalCode::BadHeader, format!("{} must be an integer from 0", WORDS.attempt)))
}

/// A failure's reason, or the exception of Spring's recoverer, means fail; otherwise it is as said, or complete.
fn action(headers: &Headers, spring: bool) -> Result<Action, Fault> {
    let said = match once_text(headers, names::ACTION)? {
        None => None,
        Some(text) => Some(Action::parse(text).ok_or_else(|| {
            let detail = "header handback-action must be complete, fail, cancel or heartbeat";
            Fault::new(RefusalCode::BadHeader, detail)
        })?),
    };
    let reason = once(headers, names::FAILURE_REASON)?.is_some();
    let sign = if spring {
        Some(names::SPRING_EXCEPTION)
    } else if reason {
        Some(names::FAILURE_REASON)
    } else {
        None
    };
    match (said, sign) {
        (None | Some(Action::Fail), Some(_)) | (Some(Action::Fail), None) => Ok(Action::Fail),
        (Some(action), Some(sign)) => {
            let detail = format!("header handback-action says {action}, but there is a header {sign}");
            Err(Fault::new(RefusalCode::Contradiction, detail))
        }
        // A message belongs to a failure, and a failure must never become the result of a completion.
        (said, None) if form::given(headers, names::FAILURE_MESSAGE) => {
            let action = said.unwrap_or(Action::Complete);
            let detail = format!("header handback-failure-message is given, but the reply says {action}");
            Err(Fault::new(RefusalCode::Contradiction, detail))
        }
        (said, None) => Ok(said.unwrap_or(Action::Complete)),
    }
}

fn failure(headers: &Headers, details: Option<Bytes>, limits: &Limits) -> Result<Failure, Fault> {
    let style = match last_text(headers, names::FAILURE_STYLE)? {
        None => FailureStyle::Custom,
        Some(text) => FailureStyle::parse(text).ok_or_else(|| {
            Fault::new(RefusalCode::BadHeader, "header handback-failure-style must be custom, generic or java")
        })?,
    };
    let failure = Failure {
        reason: once_text(headers, names::FAILURE_REASON)?.unwrap_or_default().to_owned(),
        message: headers.last(names::FAILURE_MESSAGE).map(lossy),
        details,
        style,
    };
    let failure = with_fitting_message(failure, limits);
    check_failure(&failure, "header handback-failure-reason", "header handback-failure-message")?;
    Ok(failure)
}

/// What Spring's dead-letter recoverer says: the exception, whose cause is the service's own. The value is the request.
/// Its headers are added each time it is at work, so the last ones count.
fn spring_failure(headers: &Headers, limits: &Limits) -> Result<Failure, Fault> {
    let filled = |name: &str| headers.last(name).filter(|value| !value.is_empty());
    let class = filled(names::SPRING_EXCEPTION_CAUSE).or_else(|| filled(names::SPRING_EXCEPTION));
    let failure = Failure {
        reason: class.map(lossy).unwrap_or_default(),
        message: headers.last(names::SPRING_EXCEPTION_MESSAGE).map(lossy),
        details: None,
        style: FailureStyle::Java,
    };
    let failure = with_fitting_message(failure, limits);
    check_failure(&failure, "header kafka_dlt-exception-fqcn", "header kafka_dlt-exception-message")?;
    Ok(failure)
}

/// Text for people, of which half a character must not cost the answer.
fn lossy(value: &Bytes) -> String {
    String::from_utf8_lossy(value).into_owned()
}

pub(super) fn check_json(payload: Option<&Bytes>, place: &str) -> Result<(), Fault> {
    match payload {
        Some(payload) if !payload.is_empty() && !json::is_json(payload) => {
            let detail = format!("{place} is not JSON, which this topic requires; a text needs quotes");
            Err(Fault::new(RefusalCode::RequireJson, detail))
        }
        _ => Ok(()),
    }
}

/// A header that may be given once only.
pub(super) fn once<'a>(headers: &'a Headers, name: &str) -> Result<Option<&'a Bytes>, Fault> {
    let mut values = headers.iter().filter(|(other, _)| *other == name);
    let value = values.next().and_then(|(_, value)| value);
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Fault::new(RefusalCode::HeaderRepeated, format!("header {name} is given more than once"))),
    }
}

fn once_text<'a>(headers: &'a Headers, name: &str) -> Result<Option<&'a str>, Fault> {
    once(headers, name)?.map(|value| text(value, name)).transpose()
}

fn last_text<'a>(headers: &'a Headers, name: &str) -> Result<Option<&'a str>, Fault> {
    headers.last(name).map(|value| text(value, name)).transpose()
}

fn text<'a>(value: &'a Bytes, name: &str) -> Result<&'a str, Fault> {
    std::str::from_utf8(value).map_err(|_| Fault::new(RefusalCode::BadHeader, format!("header {name} is not UTF-8")))
}
