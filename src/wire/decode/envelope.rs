//! The JSON envelope (`docs/wire-contract.md`, section 3.1).

use bytes::Bytes;
use serde_json::value::RawValue;

use super::super::answer::RESERVED_REASON;
use super::super::json::{self, Fields, Others};
use super::super::{Failure, FailureStyle};
use super::fields::{base64_field, check_names, field_object, not_an_object, optional_text, some_bytes};
use super::target::{Ids, Words, resolve};
use super::{Action, Answer, Draft, Fault, Headers, Limits, Mode, Record, RefusalCode, Seen, Target};
use super::{MAX_METADATA_DEPTH, check_answer, check_key, form, names, not_text, too_large, with_fitting_message};

const FIELDS: [&str; 9] = [
    "task_token",
    "activity",
    "action",
    "result",
    "result_base64",
    "failure",
    "details",
    "idempotency_key",
    "metadata",
];
const TASK_TOKEN: usize = 0;
const ACTIVITY: usize = 1;
const ACTION: usize = 2;
const RESULT: usize = 3;
const RESULT_BASE64: usize = 4;
const FAILURE: usize = 5;
const DETAILS: usize = 6;
const IDEMPOTENCY_KEY: usize = 7;
const METADATA: usize = 8;

const FAILURE_FIELDS: [&str; 5] = ["reason", "message", "style", "details", "details_base64"];
const ACTIVITY_FIELDS: [&str; 5] = ["domain", "workflow_id", "run_id", "activity_id", "attempt"];

const WORDS: Words = Words {
    code: RefusalCode::BadField,
    token: "`task_token`",
    domain: "`activity.domain`",
    workflow_id: "`activity.workflow_id`",
    run_id: "`activity.run_id`",
    activity_id: "`activity.activity_id`",
    attempt: "`activity.attempt`",
};

pub(super) fn read(record: &Record, limits: &Limits, seen: &mut Seen) -> Result<Draft, Fault> {
    let value = value(record, limits, "no header names a task token")?;
    let text = utf8(value)?;
    let fields = json::object(text, &FIELDS, Others::Refuse).map_err(|fault| not_an_object("the value", fault))?;
    let envelope = Envelope { fields: &fields, value, limits };
    envelope.draft(record, seen).inspect_err(|_| {
        seen.idempotency_key = idempotency_key(&fields).ok().flatten();
        seen.metadata = metadata(&fields, limits).ok().flatten();
    })
}

/// The value of a record that says everything in it. `why` says why it must have one.
pub(super) fn value<'a>(record: &'a Record, limits: &Limits, why: &str) -> Result<&'a Bytes, Fault> {
    let Some(value) = &record.value else {
        return Err(Fault::new(RefusalCode::Tombstone, format!("the value is null, and {why}")));
    };
    if value.is_empty() {
        return Err(Fault::new(RefusalCode::EmptyValue, format!("the value is empty, and {why}")));
    }
    let limit = limits.max_envelope_bytes();
    if value.len() > limit {
        return Err(too_large("the value", value.len(), limit));
    }
    Ok(value)
}

pub(super) fn utf8(value: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(value).map_err(|fault| {
        let detail = format!("the value is not UTF-8 from byte {} on", fault.valid_up_to());
        Fault::new(RefusalCode::BadUtf8, detail)
    })
}

fn target(fields: &Fields<'_, 9>, seen: &mut Seen) -> Result<Target, Fault> {
    let token = match fields.get(TASK_TOKEN) {
        Some(raw) => Some(base64_field(raw, "task_token")?),
        None => None,
    };
    let ids = match fields.get(ACTIVITY) {
        Some(raw) => Some(ids(raw)?),
        None => None,
    };
    resolve(token, ids.as_ref(), &WORDS, seen)
}

fn ids(raw: &RawValue) -> Result<Ids<'_>, Fault> {
    let fields =
        json::object(raw.get(), &ACTIVITY_FIELDS, Others::Ignore).map_err(|fault| field_object("activity", fault))?;
    check_names(&fields, "activity.", &ACTIVITY_FIELDS)?;
    let text = |index: usize| optional_text(fields.get(index), "activity.", ACTIVITY_FIELDS[index]);
    let attempt = match fields.get(4) {
        None => None,
        Some(raw) => Some(json::integer(raw).filter(|attempt| *attempt >= 0).ok_or_else(|| {
            Fault::new(RefusalCode::BadField, format!("{} must be an integer from 0", WORDS.attempt))
        })?),
    };
    Ok(Ids { domain: text(0)?, workflow_id: text(1)?, run_id: text(2)?, activity_id: text(3)?, attempt })
}

/// The parts of an envelope that make the answer.
struct Envelope<'a> {
    fields: &'a Fields<'a, 9>,
    value: &'a Bytes,
    limits: &'a Limits,
}

impl Envelope<'_> {
    fn draft(&self, record: &Record, seen: &mut Seen) -> Result<Draft, Fault> {
        let target = target(self.fields, seen);
        // A wrong name is told before a wrong target, but not before the target is known for the report.
        check_names(self.fields, "", &FIELDS)?;
        let target = target?;
        let answer = self.answer(&target, seen)?;
        agree_with_headers(&record.headers, answer.action(), "the envelope")?;
        Ok(Draft {
            idempotency_key: idempotency_key(self.fields)?,
            metadata: metadata(self.fields, self.limits)?,
            target,
            answer,
            traceparent: None,
            event: None,
            mode: Mode::Envelope,
        })
    }

    fn answer(&self, target: &Target, seen: &mut Seen) -> Result<Answer, Fault> {
        let action = self.action()?;
        seen.action = Some(action);
        let (answer, place) = match action {
            Action::Complete => {
                self.refuse_beside(DETAILS, action)?;
                self.result()?
            }
            Action::Fail => {
                self.refuse_beside(DETAILS, action)?;
                self.failure()?
            }
            Action::Cancel => (Answer::Cancel { details: self.details(action)? }, "`details`"),
            Action::Heartbeat => (Answer::Heartbeat { details: self.details(action)? }, "`details`"),
        };
        check_answer(&answer, target, place, self.limits)?;
        Ok(answer)
    }

    /// A failure means fail, otherwise a result, null included, means complete; with neither it must be said.
    fn action(&self) -> Result<Action, Fault> {
        let failure = self.fields.get(FAILURE).is_some();
        let said = match self.fields.get(ACTION) {
            None => None,
            Some(raw) => Some(json::text(raw).and_then(|text| Action::parse(&text)).ok_or_else(|| {
                Fault::new(RefusalCode::BadField, "`action` must be complete, fail, cancel or heartbeat")
            })?),
        };
        match said {
            Some(Action::Fail) if !failure => {
                Err(Fault::new(RefusalCode::MissingField, "`failure` is missing; `action` says fail"))
            }
            Some(action) if failure && action != Action::Fail => {
                Err(Fault::new(RefusalCode::Contradiction, format!("`action` says {action}, but there is a `failure`")))
            }
            Some(action) => Ok(action),
            None if failure => Ok(Action::Fail),
            None if self.fields.raw(RESULT).is_some() || self.fields.get(RESULT_BASE64).is_some() => {
                Ok(Action::Complete)
            }
            None => Err(Fault::new(
                RefusalCode::MissingField,
                "nothing says what to do: no `result`, `failure` or `action`",
            )),
        }
    }

    fn refuse_beside(&self, index: usize, action: Action) -> Result<(), Fault> {
        if self.fields.get(index).is_none() {
            return Ok(());
        }
        let detail = format!("`{}` is given, but the reply says {action}", FIELDS[index]);
        Err(Fault::new(RefusalCode::Contradiction, detail))
    }

    fn result(&self) -> Result<(Answer, &'static str), Fault> {
        let Some(encoded) = self.fields.get(RESULT_BASE64) else {
            let result = self.fields.raw(RESULT).map(|raw| self.slice(raw));
            return Ok((Answer::Complete { result }, "`result`"));
        };
        if self.fields.get(RESULT).is_some() {
            let detail = "`result` and `result_base64` are both given";
            return Err(Fault::new(RefusalCode::Contradiction, detail));
        }
        let result = some_bytes(base64_field(encoded, "result_base64")?);
        Ok((Answer::Complete { result }, "`result_base64`"))
    }

    fn details(&self, action: Action) -> Result<Option<Bytes>, Fault> {
        self.refuse_beside(RESULT, action)?;
        self.refuse_beside(RESULT_BASE64, action)?;
        Ok(self.fields.get(DETAILS).map(|raw| self.slice(raw)))
    }

    fn failure(&self) -> Result<(Answer, &'static str), Fault> {
        let raw = self.fields.get(FAILURE).map_or("{}", RawValue::get);
        let fields =
            json::object(raw, &FAILURE_FIELDS, Others::Refuse).map_err(|fault| field_object("failure", fault))?;
        check_names(&fields, "failure.", &FAILURE_FIELDS)?;
        let text = |index: usize| optional_text(fields.get(index), "failure.", FAILURE_FIELDS[index]);
        let style = match text(2)? {
            None => FailureStyle::Custom,
            Some(style) => FailureStyle::parse(&style)
                .ok_or_else(|| Fault::new(RefusalCode::BadField, "`failure.style` must be custom, generic or java"))?,
        };
        let details = match (fields.get(3), fields.get(4)) {
            (Some(_), Some(_)) => {
                let detail = "`failure.details` and `failure.details_base64` are both given";
                return Err(Fault::new(RefusalCode::Contradiction, detail));
            }
            (Some(raw), None) => Some(self.slice(raw)),
            (None, Some(raw)) => some_bytes(base64_field(raw, "failure.details_base64")?),
            (None, None) => None,
        };
        let message = match fields.get(1) {
            Some(raw) => Some(json::text_lossy(raw).ok_or_else(|| not_text("`failure.message`", raw))?.into_owned()),
            None => None,
        };
        let failure = Failure { reason: text(0)?.unwrap_or_default().into_owned(), message, details, style };
        let failure = with_fitting_message(failure, self.limits);
        check_failure(&failure, "`failure.reason`", "`failure.message`")?;
        Ok((
            Answer::Fail(failure),
            if style == FailureStyle::Generic { "`failure.message`" } else { "`failure.details`" },
        ))
    }

    /// The bytes of a value, as they stand in the record.
    fn slice(&self, raw: &RawValue) -> Bytes {
        self.value.slice_ref(raw.get().as_bytes())
    }
}

/// Checks that a failure says what its style needs, and nothing that belongs to the engine.
pub(super) fn check_failure(failure: &Failure, reason: &str, message: &str) -> Result<(), Fault> {
    if failure.reason.starts_with(RESERVED_REASON) {
        let detail = format!("{reason} begins with `{RESERVED_REASON}`, which belongs to the engine");
        return Err(Fault::new(RefusalCode::ReservedReason, detail));
    }
    let style = failure.style;
    if style == FailureStyle::Generic {
        if failure.message.is_none() {
            let detail = format!("{message} is missing; style generic sends it");
            return Err(Fault::new(RefusalCode::MissingMessage, detail));
        }
    } else if failure.reason.is_empty() {
        let detail = format!("{reason} is missing or empty; style {style} needs it");
        return Err(Fault::new(RefusalCode::MissingReason, detail));
    }
    Ok(())
}

/// A failure must never become the result of a completion: headers that say otherwise than the envelope or the event are
/// an error, although nothing else in them is read.
pub(super) fn agree_with_headers(headers: &Headers, action: Action, what: &str) -> Result<(), Fault> {
    let other = headers.last(names::ACTION).is_some_and(|said| said[..] != *action.as_str().as_bytes());
    let name = if other {
        names::ACTION
    } else if action != Action::Fail && form::given(headers, names::FAILURE_REASON) {
        names::FAILURE_REASON
    } else {
        return form::refuse_unread_failure(headers, action);
    };
    let detail = format!("header {name} contradicts {what}, which says {action}");
    Err(Fault::new(RefusalCode::Contradiction, detail))
}

fn idempotency_key(fields: &Fields<'_, 9>) -> Result<Option<String>, Fault> {
    let Some(key) = optional_text(fields.get(IDEMPOTENCY_KEY), "", FIELDS[IDEMPOTENCY_KEY])? else { return Ok(None) };
    check_key(&key, RefusalCode::BadField, "`idempotency_key`")?;
    Ok(Some(key.into_owned()))
}

fn metadata(fields: &Fields<'_, 9>, limits: &Limits) -> Result<Option<Box<RawValue>>, Fault> {
    let Some(raw) = fields.get(METADATA) else { return Ok(None) };
    if !raw.get().starts_with('{') {
        return Err(Fault::new(RefusalCode::BadField, "`metadata` must be an object"));
    }
    let (size, limit) = (raw.get().len(), limits.max_metadata_bytes);
    if size > limit {
        let detail = format!("`metadata` has {size} bytes; at most {limit} are allowed");
        return Err(Fault::new(RefusalCode::MetadataTooLarge, detail));
    }
    if json::depth(raw) > MAX_METADATA_DEPTH {
        let detail = format!("`metadata` is nested deeper than {MAX_METADATA_DEPTH} levels");
        return Err(Fault::new(RefusalCode::MetadataTooLarge, detail));
    }
    Ok(Some(raw.to_owned()))
}
