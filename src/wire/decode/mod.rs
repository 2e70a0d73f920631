//! From a record on a reply topic to a [`Reply`], or to the reason why not (`docs/wire-contract.md`, section 3).

mod base64;
mod envelope;
mod events;
mod fields;
mod form;
mod headers;
mod hints;
mod target;

use std::fmt;

pub use base64::decode as decode_base64;
use bytes::Bytes;
use serde_json::value::RawValue;

use self::form::Form;
use super::json;
use super::refusal::Fault;
use super::token::RawToken;
use super::{
    Action, ActivityRef, Answer, EventRef, Failure, FailureStyle, Fingerprint, Headers, MAX_HEADERS, Record, Refusal,
    RefusalCode, Target, TaskToken, names,
};

/// Longest idempotency key, in bytes (`docs/wire-contract.md`, section 3.1).
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 512;

/// Longest name in a target by id, in bytes: the engine's limit of 1000 characters, each of up to four bytes.
pub const MAX_ID_BYTES: usize = 4000;

/// Deepest nesting of `metadata`: readers of outcomes must not fail on what a service writes about itself, and common JSON
/// parsers give up at a hundred levels.
const MAX_METADATA_DEPTH: usize = 64;

/// Longest failure reason, in bytes (`docs/wire-contract.md`, section 3): it ends in histories, where nobody expects a
/// document. It is never cut, because workflows compare it.
pub const MAX_REASON_BYTES: usize = 4096;

/// Longest trace header, in bytes: twice what W3C's version 0 has.
const MAX_TRACEPARENT_BYTES: usize = 128;

/// What a reply may look like on one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest result or details. The engine answers OK to more than its own limit and fails the activity (2 MiB).
    pub max_payload_bytes: usize,
    /// Largest `metadata`: it is copied into the outcome (16 KiB).
    pub max_metadata_bytes: usize,
    /// Whether payloads in header mode and in CloudEvents must be JSON.
    pub require_json: bool,
    /// Whether `fail` by id without an attempt is let through, although a repeat burns the next attempt.
    pub allow_fail_by_id_without_attempt: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_payload_bytes: 2 * 1024 * 1024,
            max_metadata_bytes: 16 * 1024,
            require_json: false,
            allow_fail_by_id_without_attempt: false,
        }
    }
}

impl Limits {
    /// Largest value of an envelope: a payload in base64 with room for one that is ignored, plus everything else that has
    /// a limit of its own. Kept so that a record far too large is refused before it is read.
    fn max_envelope_bytes(&self) -> usize {
        self.max_payload_bytes.saturating_mul(3).saturating_add(self.max_metadata_bytes).saturating_add(256 * 1024)
    }
}

/// A reply that may be told to the engine. `Debug` shows nothing of token, payload and metadata.
#[derive(Clone)]
pub struct Reply {
    /// Which activity.
    pub target: Target,
    /// What became of it.
    pub answer: Answer,
    /// Names this answer within its target.
    pub idempotency_key: Option<String>,
    /// The service's own fields, an object, as received.
    pub metadata: Option<Box<RawValue>>,
    /// W3C trace context of the record.
    pub traceparent: Option<String>,
    /// What the CloudEvent calls itself, when it was one.
    pub event: Option<Box<EventRef>>,
    /// How the record was read.
    pub mode: Mode,
    /// Fingerprint of the answer.
    pub fingerprint: Fingerprint,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("target", &self.target)
            .field("answer", &self.answer)
            .field("mode", &self.mode)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// How a reply was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As a JSON envelope.
    Envelope,
    /// In headers; the value is the payload.
    Headers,
    /// As a CloudEvent in binary mode: attributes in `ce_` headers; the value is the payload.
    BinaryEvent,
    /// As a CloudEvent in structured mode, JSON format.
    StructuredEvent,
}

/// Reads a reply. Pure: no clock, no look-up; work and memory are bounded by the size of the record.
///
/// Payloads are slices of the record's value, nothing is copied, except from base64.
///
/// # Errors
///
/// A reply that the contract does not allow, with everything that could be learnt of it. The order of checks is fixed:
/// syntax, names of fields, target, action, payload.
pub fn decode(record: &Record, limits: &Limits) -> Result<Reply, Box<Refusal>> {
    let mut seen = Seen::default();
    let form = check_headers(&record.headers).and_then(|()| Form::of(record));
    let draft = match &form {
        Ok(Form::Envelope) => envelope::read(record, limits, &mut seen),
        Ok(Form::Headers) => headers::read(record, limits, &mut seen),
        Ok(Form::BinaryEvent) => events::read_binary(record, limits, &mut seen),
        Ok(Form::StructuredEvent) => events::read_structured(record, limits, &mut seen),
        Err(fault) => Err(fault.clone()),
    };
    match draft {
        Ok(draft) => Ok(draft.finish(&record.headers)),
        Err(fault) => Err(Box::new(seen.refuse(hints::explain(fault, record, form.ok()), &record.headers))),
    }
}

/// Whether the headers say all that there is to say, and leave room for ours.
fn check_headers(headers: &Headers) -> Result<(), Fault> {
    let detail = if headers.are_unreadable() {
        "the record has headers that cannot be read: more than 100,000, or malformed".to_owned()
    } else if headers.len() > MAX_HEADERS {
        format!("the record has {} headers; at most {MAX_HEADERS} are allowed", headers.len())
    } else {
        return Ok(());
    };
    Err(Fault::new(RefusalCode::UnreadableHeaders, detail))
}

/// What is known of a reply so far, for the refusal.
#[derive(Default)]
struct Seen {
    token: Option<RawToken>,
    activity: Option<ActivityRef>,
    action: Option<Action>,
    idempotency_key: Option<String>,
    metadata: Option<Box<RawValue>>,
    traceparent: Option<String>,
    event: Option<Box<EventRef>>,
}

impl Seen {
    fn refuse(self, fault: Fault, headers: &Headers) -> Refusal {
        Refusal {
            code: fault.code,
            detail: fault.detail,
            // Read once more, so that replies that are right do not pay for a copy of every name.
            activity: self.activity.or_else(|| {
                let token = TaskToken::check(self.token.as_ref()?.bytes().clone()).ok()?;
                Some(Target::Token(token).into_activity())
            }),
            token: self.token,
            action: self.action,
            idempotency_key: self.idempotency_key,
            metadata: self.metadata,
            traceparent: self.traceparent.or_else(|| traceparent(headers)),
            event: self.event,
        }
    }
}

/// A reply without the parts that follow from the others.
struct Draft {
    target: Target,
    answer: Answer,
    idempotency_key: Option<String>,
    metadata: Option<Box<RawValue>>,
    /// The event's own. Without one the record's counts.
    traceparent: Option<String>,
    event: Option<Box<EventRef>>,
    mode: Mode,
}

impl Draft {
    fn finish(self, headers: &Headers) -> Reply {
        Reply {
            fingerprint: Fingerprint::of(&self.answer),
            target: self.target,
            answer: self.answer,
            idempotency_key: self.idempotency_key,
            metadata: self.metadata,
            traceparent: self.traceparent.or_else(|| traceparent(headers)),
            event: self.event,
            mode: self.mode,
        }
    }
}

/// The trace context of the headers.
fn traceparent(headers: &Headers) -> Option<String> {
    trace_context(headers.last(names::TRACEPARENT)?)
}

/// The trace context, if it can be one. Never a reason to refuse: tracing must not cost an answer.
fn trace_context(value: &[u8]) -> Option<String> {
    let value = std::str::from_utf8(value).ok()?;
    let plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    let fits = (55..=MAX_TRACEPARENT_BYTES).contains(&value.len()) && value.bytes().all(plain);
    fits.then(|| value.to_owned())
}

/// Checks what holds for every answer, whichever way it was written.
fn check_answer(answer: &Answer, target: &Target, place: &str, limits: &Limits) -> Result<(), Fault> {
    if let (Answer::Fail(_), Target::ById(id)) = (answer, target)
        && id.attempt.is_none()
        && !limits.allow_fail_by_id_without_attempt
    {
        return Err(Fault::new(
            RefusalCode::FailByIdWithoutAttempt,
            "a failure by id needs the attempt: repeated without it, it would fail the next attempt as well",
        ));
    }
    let size = match answer {
        Answer::Complete { result: payload }
        | Answer::Cancel { details: payload }
        | Answer::Heartbeat { details: payload } => payload.as_ref().map_or(0, Bytes::len),
        Answer::Fail(failure) => {
            if failure.reason.len() > MAX_REASON_BYTES {
                let size = failure.reason.len();
                return Err(too_large("the failure's reason", size, MAX_REASON_BYTES));
            }
            failure.engine_details().map_or(0, |details| details.len())
        }
    };
    if size > limits.max_payload_bytes {
        return Err(too_large(place, size, limits.max_payload_bytes));
    }
    Ok(())
}

fn too_large(what: &str, size: usize, limit: usize) -> Fault {
    Fault::new(RefusalCode::TooLarge, format!("{what} has {size} bytes; at most {limit} are allowed"))
}

/// A failure whose message is cut, between two characters, to what fits: its end is for people, and must not cost the answer.
fn with_fitting_message(mut failure: Failure, limits: &Limits) -> Failure {
    let size = failure.engine_details().map_or(0, |details| details.len());
    let Some(over) = size.checked_sub(limits.max_payload_bytes).filter(|over| *over > 0) else { return failure };
    let weigh = match (failure.style, &failure.details) {
        (FailureStyle::Generic, _) => char::len_utf8,
        (FailureStyle::Java, None) => json::escaped_len,
        _ => return failure,
    };
    if let Some(message) = &mut failure.message {
        let mut freed = 0;
        while freed < over {
            let Some(last) = message.pop() else { break };
            freed += weigh(last);
        }
    }
    failure
}

/// A field that has to be text and is not: another type, or text that holds half of a character.
fn not_text(word: &str, raw: &RawValue) -> Fault {
    let detail = if json::is_string(raw) {
        format!(
            "{word} was cut inside a character (it has half of a surrogate pair, as when an emoji is cut in two); cut it \
             between characters"
        )
    } else {
        format!("{word} must be a string")
    };
    Fault::new(RefusalCode::BadField, detail)
}

/// Checks an idempotency key.
fn check_key(key: &str, code: RefusalCode, place: &str) -> Result<(), Fault> {
    if (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len()) {
        return Ok(());
    }
    let size = key.len();
    Err(Fault::new(code, format!("{place} must have 1 to {MAX_IDEMPOTENCY_KEY_BYTES} bytes; it has {size}")))
}
