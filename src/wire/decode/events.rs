//! CloudEvents 1.0 (`docs/wire-contract.md`, section 3.3): binary mode, and structured mode in the JSON format.
//!
//! Written here instead of taken from the SDK, because bytes are sacred: the SDK makes a tree of `data`, which loses the
//! spelling of numbers and the order of fields, and takes the last of two attributes with one name.

use std::borrow::Cow;

use bytes::Bytes;

use super::super::event::MAX_EVENT_NAME_BYTES;
use super::super::json::{self, Fields, NameFault, Others};
use super::super::{EventRef, Failure, FailureStyle, TaskToken};
use super::envelope::{self, agree_with_headers, check_failure};
use super::fields::{base64_field, not_an_object, some_bytes};
use super::headers::{check_json, once};
use super::{Action, Answer, Draft, Fault, Limits, Mode, RawToken, Record, RefusalCode, Seen, Target};
use super::{check_answer, check_key, decode_base64, names, not_text, trace_context, with_fitting_message};

/// The attributes that mean something, then what structured mode has besides.
const FIELDS: [&str; 13] = [
    "specversion",
    "type",
    "id",
    "source",
    "tasktoken",
    "failurereason",
    "failuremessage",
    "failurestyle",
    "idempotencykey",
    "traceparent",
    "datacontenttype",
    "data",
    "data_base64",
];
const SPECVERSION: usize = 0;
const TYPE: usize = 1;
const ID: usize = 2;
const SOURCE: usize = 3;
const TASK_TOKEN: usize = 4;
const FAILURE_REASON: usize = 5;
const FAILURE_MESSAGE: usize = 6;
const FAILURE_STYLE: usize = 7;
const IDEMPOTENCY_KEY: usize = 8;
const TRACEPARENT: usize = 9;
const DATA_CONTENT_TYPE: usize = 10;
const DATA: usize = 11;
const DATA_BASE64: usize = 12;

/// Attributes are those before this place; `datacontenttype` is one only where it says how to read `data`.
const ATTRIBUTES: usize = 11;

/// The attributes are headers, the value is the payload.
pub(super) fn read_binary(record: &Record, limits: &Limits, seen: &mut Seen) -> Result<Draft, Fault> {
    let event = Event::of_headers(record);
    let payload = record.value.clone().filter(|value| !value.is_empty());
    event.draft(record, limits, seen, || Ok((payload, "the value")))
}

/// The value is the event.
pub(super) fn read_structured(record: &Record, limits: &Limits, seen: &mut Seen) -> Result<Draft, Fault> {
    check_format(record)?;
    let value = envelope::value(record, limits, "the value is a CloudEvent in structured mode by its content-type")?;
    let text = envelope::utf8(value)?;
    let fields = json::object(text, &FIELDS, Others::Ignore).map_err(|fault| not_an_object("the value", fault))?;
    let event = Event::of_fields(&fields);
    event.draft(record, limits, seen, || data(&fields, value, &event))
}

/// The JSON format is the only one, and a batch holds many answers, of which each would need an outcome.
fn check_format(record: &Record) -> Result<(), Fault> {
    let content_type = record.headers.last(names::CONTENT_TYPE).map_or(&[][..], |value| value);
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if media_type.eq_ignore_ascii_case(names::CLOUD_EVENT_JSON_TYPE.as_bytes()) {
        return Ok(());
    }
    let rest = media_type.get(names::CLOUD_EVENTS_TYPE.len()..).unwrap_or_default().to_ascii_lowercase();
    let detail = if rest.starts_with(b"-batch") {
        "header content-type says a batch of CloudEvents; write each event as a record of its own"
    } else {
        "header content-type says CloudEvents in another format than application/cloudevents+json"
    };
    Err(Fault::new(RefusalCode::CloudEventsUnsupported, detail))
}

/// Where the attributes stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Headers,
    Value,
}

/// The attributes of an event. A fault of one does not keep the others from being read, for the report.
struct Event<'a> {
    attributes: [Option<Cow<'a, str>>; ATTRIBUTES],
    fault: Option<Fault>,
    place: Place,
}

impl<'a> Event<'a> {
    fn of_headers(record: &'a Record) -> Self {
        let mut event = Self { attributes: Default::default(), fault: None, place: Place::Headers };
        let mut found = [false; ATTRIBUTES];
        for (name, value) in record.headers.iter() {
            let Some(name) = name.as_bytes().strip_prefix(names::CE_PREFIX.as_bytes()) else { continue };
            let known = FIELDS[..DATA_CONTENT_TYPE].iter().position(|known| known.as_bytes() == name);
            let Some(at) = known else { continue };
            // Tracing must not cost an answer: of several the last counts, and one that is none is ignored.
            let twice = std::mem::replace(&mut found[at], true) && at != TRACEPARENT;
            let text = value.map(|value| match std::str::from_utf8(value) {
                // Half a character of what only people read must not cost the answer.
                Err(_) if at == FAILURE_MESSAGE => Ok(String::from_utf8_lossy(value)),
                other => other.map(Cow::Borrowed),
            });
            let wrong = match text {
                _ if twice => Some((RefusalCode::HeaderRepeated, "is given more than once")),
                Some(Err(_)) if at != TRACEPARENT => Some((RefusalCode::BadHeader, "is not UTF-8")),
                _ => None,
            };
            if let Some((code, problem)) = wrong {
                let fault = Fault::new(code, format!("{} {problem}", event.word(at)));
                event.fault.get_or_insert(fault);
            }
            event.attributes[at] = text.and_then(Result::ok);
        }
        event
    }

    fn of_fields(fields: &Fields<'a, 13>) -> Self {
        let mut event = Self { attributes: Default::default(), fault: None, place: Place::Value };
        event.fault = fields.fault.as_ref().map(|fault| match fault {
            NameFault::TooMany => Fault::new(RefusalCode::UnknownField, "the event has too many extensions"),
            NameFault::Twice(name) | NameFault::Unknown(name) | NameFault::OtherCase(name) => {
                let detail = format!("a field is given twice: {}", json::show_name(name));
                Fault::new(RefusalCode::DuplicateField, detail)
            }
        });
        for at in 0..ATTRIBUTES {
            let Some(raw) = fields.get(at) else { continue };
            event.attributes[at] = if at == FAILURE_MESSAGE { json::text_lossy(raw) } else { json::text(raw) };
            if event.attributes[at].is_none() && at != TRACEPARENT {
                let fault = not_text(&event.word(at), raw);
                event.fault.get_or_insert(fault);
            }
        }
        event
    }

    /// An attribute; null is absent.
    fn get(&self, at: usize) -> Option<&str> {
        self.attributes[at].as_deref()
    }

    /// How an attribute is called in details.
    fn word(&self, at: usize) -> String {
        match self.place {
            Place::Headers => format!("header {}{}", names::CE_PREFIX, FIELDS[at]),
            Place::Value => format!("`{}`", FIELDS[at]),
        }
    }

    /// The code for a value that is wrong.
    fn bad(&self) -> RefusalCode {
        match self.place {
            Place::Headers => RefusalCode::BadHeader,
            Place::Value => RefusalCode::BadField,
        }
    }

    fn draft(
        &self,
        record: &Record,
        limits: &Limits,
        seen: &mut Seen,
        payload: impl FnOnce() -> Result<(Option<Bytes>, &'static str), Fault>,
    ) -> Result<Draft, Fault> {
        // What lets the service recognise its reply is told even of an event that is wrong.
        let named = self.event().map(|event| seen.event = Some(Box::new(event)));
        let key = self.idempotency_key().map(|key| seen.idempotency_key = key);
        seen.traceparent = self.get(TRACEPARENT).and_then(|text| trace_context(text.as_bytes()));
        let target = self.target(record, seen);
        let action = self.action().inspect(|action| seen.action = Some(*action));
        self.check_version()?;
        // `type` first: who sees the wrong one reads the rest in vain.
        let action = action?;
        named?;
        let target = target?;
        let answer = self.answer(action, payload, &target, limits)?;
        agree_with_headers(&record.headers, action, "the event")?;
        key?;
        Ok(Draft {
            target,
            answer,
            idempotency_key: seen.idempotency_key.take(),
            metadata: None,
            traceparent: seen.traceparent.take(),
            event: seen.event.take(),
            mode: match self.place {
                Place::Headers => Mode::BinaryEvent,
                Place::Value => Mode::StructuredEvent,
            },
        })
    }

    /// What follows reads the attributes as version 1.0 means them.
    fn check_version(&self) -> Result<(), Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if self.required(SPECVERSION)? == "1.0" {
            return Ok(());
        }
        let detail = format!("{} must be 1.0", self.word(SPECVERSION));
        Err(Fault::new(RefusalCode::CloudEventsUnsupported, detail))
    }

    fn action(&self) -> Result<Action, Fault> {
        let known = self.required(TYPE)?.strip_prefix(names::EVENT_TYPE_PREFIX).and_then(Action::parse);
        known.ok_or_else(|| {
            let detail = format!("{} must be handback.reply.complete, .fail, .cancel or .heartbeat", self.word(TYPE));
            Fault::new(self.bad(), detail)
        })
    }

    fn event(&self) -> Result<EventRef, Fault> {
        let name = |at: usize| {
            let text = self.required(at)?;
            if text.len() <= MAX_EVENT_NAME_BYTES {
                return Ok(text.to_owned());
            }
            let detail =
                format!("{} has {} bytes; at most {MAX_EVENT_NAME_BYTES} are allowed", self.word(at), text.len());
            Err(Fault::new(self.bad(), detail))
        };
        Ok(EventRef { id: name(ID)?, source: name(SOURCE)? })
    }

    /// An attribute that every event has, and that is never empty.
    fn required(&self, at: usize) -> Result<&str, Fault> {
        self.get(at).filter(|text| !text.is_empty()).ok_or_else(|| {
            let detail = format!("{} is missing or empty; every CloudEvent has it", self.word(at));
            Fault::new(RefusalCode::MissingField, detail)
        })
    }

    fn idempotency_key(&self) -> Result<Option<String>, Fault> {
        let Some(key) = self.get(IDEMPOTENCY_KEY) else { return Ok(None) };
        check_key(key, self.bad(), &self.word(IDEMPOTENCY_KEY))?;
        Ok(Some(key.to_owned()))
    }

    /// The token of the extension, or of the correlation id; with both they must be the same, as in header mode.
    fn target(&self, record: &Record, seen: &mut Seen) -> Result<Target, Fault> {
        let correlation_id = once(&record.headers, names::CORRELATION_ID)?;
        let Some(text) = self.get(TASK_TOKEN) else {
            let Some(token) = correlation_id else {
                let detail = format!(
                    "neither {} nor header kafka_correlationId says which activity is meant",
                    self.word(TASK_TOKEN)
                );
                return Err(Fault::new(RefusalCode::NoTarget, detail));
            };
            return token_target(token.clone(), "header kafka_correlationId", seen);
        };
        let word = self.word(TASK_TOKEN);
        let Some(token) = decode_base64(text.as_bytes()) else {
            return Err(Fault::new(RefusalCode::BadBase64, format!("{word} is not base64")));
        };
        let target = token_target(Bytes::from(token), &word, seen)?;
        if let (Some(other), Target::Token(token)) = (correlation_id, &target)
            && other != token.bytes()
        {
            let detail = format!("{word} and header kafka_correlationId hold different tokens");
            return Err(Fault::new(RefusalCode::TargetMismatch, detail));
        }
        Ok(target)
    }

    fn answer(
        &self,
        action: Action,
        payload: impl FnOnce() -> Result<(Option<Bytes>, &'static str), Fault>,
        target: &Target,
        limits: &Limits,
    ) -> Result<Answer, Fault> {
        let (payload, place) = payload()?;
        // In binary mode nobody checked it, and in structured mode only what is written as JSON.
        if limits.require_json {
            check_json(payload.as_ref(), place)?;
        }
        if action != Action::Fail {
            self.refuse_failure(action)?;
        }
        let answer = match action {
            Action::Complete => Answer::Complete { result: payload },
            Action::Cancel => Answer::Cancel { details: payload },
            Action::Heartbeat => Answer::Heartbeat { details: payload },
            Action::Fail => Answer::Fail(self.failure(payload, limits)?),
        };
        match &answer {
            Answer::Fail(failure) if failure.style == FailureStyle::Generic => {
                check_answer(&answer, target, &self.word(FAILURE_MESSAGE), limits)?;
            }
            _ => check_answer(&answer, target, place, limits)?,
        }
        Ok(answer)
    }

    /// A failure must never become the result of a completion.
    fn refuse_failure(&self, action: Action) -> Result<(), Fault> {
        for at in [FAILURE_REASON, FAILURE_MESSAGE] {
            if self.get(at).is_some() {
                let detail = format!("{} is given, but {} says {action}", self.word(at), self.word(TYPE));
                return Err(Fault::new(RefusalCode::Contradiction, detail));
            }
        }
        Ok(())
    }

    fn failure(&self, details: Option<Bytes>, limits: &Limits) -> Result<Failure, Fault> {
        let style = match self.get(FAILURE_STYLE) {
            None => FailureStyle::Custom,
            Some(text) => FailureStyle::parse(text).ok_or_else(|| {
                let detail = format!("{} must be custom, generic or java", self.word(FAILURE_STYLE));
                Fault::new(self.bad(), detail)
            })?,
        };
        let failure = Failure {
            reason: self.get(FAILURE_REASON).unwrap_or_default().to_owned(),
            message: self.get(FAILURE_MESSAGE).map(str::to_owned),
            details,
            style,
        };
        let failure = with_fitting_message(failure, limits);
        check_failure(&failure, &self.word(FAILURE_REASON), &self.word(FAILURE_MESSAGE))?;
        Ok(failure)
    }
}

/// The payload of structured mode: `data_base64` decoded, the exact text of `data` when it is JSON, or else what the string
/// in it says.
fn data(fields: &Fields<'_, 13>, value: &Bytes, event: &Event<'_>) -> Result<(Option<Bytes>, &'static str), Fault> {
    if let Some(encoded) = fields.get(DATA_BASE64) {
        if fields.get(DATA).is_some() {
            return Err(Fault::new(RefusalCode::Contradiction, "`data` and `data_base64` are both given"));
        }
        return Ok((some_bytes(base64_field(encoded, "data_base64")?), "`data_base64`"));
    }
    let is_json = event.get(DATA_CONTENT_TYPE).is_none_or(is_json_type);
    let data = if is_json { fields.raw(DATA) } else { fields.get(DATA) };
    let Some(data) = data else { return Ok((None, "`data`")) };
    if is_json {
        return Ok((Some(value.slice_ref(data.get().as_bytes())), "`data`"));
    }
    let text = json::text(data).ok_or_else(|| {
        if json::is_string(data) {
            return not_text("`data`", data);
        }
        let detail = "`data` must be a string, because `datacontenttype` is not JSON";
        Fault::new(RefusalCode::BadField, detail)
    })?;
    let bytes = match text {
        Cow::Borrowed(text) => value.slice_ref(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    Ok((some_bytes(bytes), "`data`"))
}

/// Whether a media type says JSON: its subtype is `json` or ends in `+json`.
fn is_json_type(media_type: &str) -> bool {
    let name = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    name.split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

fn token_target(token: Bytes, word: &str, seen: &mut Seen) -> Result<Target, Fault> {
    seen.token = Some(RawToken::new(token.clone()));
    let checked = TaskToken::check(token);
    checked.map(Target::Token).map_err(|fault| Fault::new(RefusalCode::BadToken, format!("{word} {}", fault.problem())))
}
