//! Which form a record is in (`docs/wire-contract.md`, section 3): chosen by headers, in a fixed order.

use super::super::json::{self, Others};
use super::{Action, Fault, Headers, Record, RefusalCode, decode_base64, names};

/// The form of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON envelope.
    Envelope,
    /// Header mode.
    Headers,
    /// CloudEvents, structured mode.
    StructuredEvent,
    /// CloudEvents, binary mode.
    BinaryEvent,
}

impl Form {
    pub(super) fn of(record: &Record) -> Result<Self, Fault> {
        let headers = &record.headers;
        let content_type = headers.last(names::CONTENT_TYPE).map_or(&[][..], |value| value);
        if begins_with(content_type, names::ENVELOPE_TYPE) {
            return Ok(Self::Envelope);
        }
        if begins_with(content_type, names::CLOUD_EVENTS_TYPE) {
            return Ok(Self::StructuredEvent);
        }
        if given(headers, names::CE_SPECVERSION) {
            return Ok(Self::BinaryEvent);
        }
        if given(headers, names::TASK_TOKEN) || given(headers, names::ACTIVITY_ID) {
            return Ok(Self::Headers);
        }
        if given(headers, names::CORRELATION_ID) {
            return by_correlation_id(record);
        }
        Ok(Self::Envelope)
    }
}

/// Whether a header has a value at least once.
pub(super) fn given(headers: &Headers, name: &str) -> bool {
    headers.iter().any(|(other, value)| other == name && value.is_some())
}

/// Headers that say that it is a failure, or which action it is. Their names are exact-case; in another spelling nobody
/// reads them, and a failure would become the result of a completion.
const TELLING: [&str; 7] = [
    names::ACTION,
    names::FAILURE_REASON,
    names::FAILURE_MESSAGE,
    names::SPRING_EXCEPTION,
    names::CE_TYPE,
    names::CE_FAILURE_REASON,
    names::CE_FAILURE_MESSAGE,
];

/// Refuses a reply that is about to be anything but a failure, although a header says otherwise in a spelling or a place
/// where nobody reads it.
pub(super) fn refuse_unread_failure(headers: &Headers, action: Action) -> Result<(), Fault> {
    if action == Action::Fail {
        return Ok(());
    }
    for (name, value) in headers.iter() {
        let (Some(name), Some(value)) = (name.as_str(), value) else { continue };
        let Some(known) = TELLING.iter().find(|known| is_spelling(name, known)) else { continue };
        // Those of the contract are judged by who reads them; attributes of an event are read in binary mode only.
        if *known == name && !name.starts_with(names::CE_PREFIX) {
            continue;
        }
        let agrees = match *known {
            names::ACTION => value[..] == *action.as_str().as_bytes(),
            names::CE_TYPE => value
                .strip_prefix(names::EVENT_TYPE_PREFIX.as_bytes())
                .is_none_or(|of| of == action.as_str().as_bytes()),
            _ => false,
        };
        if !agrees {
            let hint = if *known == name { "it is read only beside header ce_specversion" } else { *known };
            let mean = if *known == name { "" } else { "did you mean header " };
            let detail = format!("header {name} says otherwise than the reply, which says {action}: {mean}{hint}");
            return Err(Fault::new(RefusalCode::Contradiction, detail));
        }
    }
    Ok(())
}

/// Whether a name is `known` but for case, or hyphens in the place of underscores.
fn is_spelling(name: &str, known: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == known.len() && name.bytes().map(fold).eq(known.bytes().map(fold))
}

/// Whether a content type says how a reply is written.
pub(super) fn names_a_form(content_type: &[u8]) -> bool {
    begins_with(content_type, names::ENVELOPE_TYPE) || begins_with(content_type, names::CLOUD_EVENTS_TYPE)
}

/// What every CloudEvent has, of which the second says what it is about.
const EVENT_FIELDS: [&str; 2] = ["specversion", "type"];

/// Whether a value is a CloudEvent in structured mode, whatever the headers say.
pub(super) fn is_event(value: &[u8]) -> bool {
    let fields = std::str::from_utf8(value).ok().and_then(|text| json::object(text, &EVENT_FIELDS, Others::Pass).ok());
    fields.is_some_and(|fields| fields.get(0).is_some() && fields.get(1).is_some())
}

/// Media types are the same in any case.
fn begins_with(content_type: &[u8], prefix: &str) -> bool {
    content_type.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Frameworks add the correlation id to everything, also to envelopes. So an object that names a token is an envelope
/// when it is the same token, and otherwise nobody can tell: taking it for a payload could turn a failure into a result.
fn by_correlation_id(record: &Record) -> Result<Form, Fault> {
    // Spring's dead-letter recoverer sends the request back, which is an object with this very token.
    if given(&record.headers, names::SPRING_EXCEPTION) {
        return Ok(Form::Headers);
    }
    // Given twice, it is refused by whoever reads it.
    if record.headers.count(names::CORRELATION_ID) > 1 {
        return Ok(Form::Headers);
    }
    let Some(token) = record.value.as_ref().and_then(|value| Inner::token_of(value)) else {
        return if record.value.as_deref().is_some_and(is_reply_event) {
            Err(unsaid_event())
        } else {
            Ok(Form::Headers)
        };
    };
    let correlation_id = record.headers.last(names::CORRELATION_ID);
    match (token, correlation_id) {
        (Inner::Token(inner), Some(outer)) if inner[..] == outer[..] => Ok(Form::Envelope),
        _ => Err(Fault::new(
            RefusalCode::AmbiguousMode,
            "the value has a `task_token` that is not the one in header kafka_correlationId; \
             set content-type to application/vnd.handback.reply+json if the value is an envelope",
        )),
    }
}

/// Whether a value is a CloudEvent that says what became of an activity.
fn is_reply_event(value: &[u8]) -> bool {
    json::begins_object(value)
        && std::str::from_utf8(value).ok().is_some_and(|text| {
            let fields = json::object(text, &EVENT_FIELDS, Others::Pass).ok();
            let of = fields.as_ref().and_then(|fields| fields.get(0).and(fields.get(1)));
            of.and_then(json::text).is_some_and(|of| of.starts_with(names::EVENT_TYPE_PREFIX))
        })
}

fn unsaid_event() -> Fault {
    Fault::new(
        RefusalCode::AmbiguousMode,
        "the value is a CloudEvent in structured mode, but only header kafka_correlationId says how to read it; \
         set content-type to application/cloudevents+json",
    )
}

/// The `task_token` inside a value that may be an envelope.
enum Inner {
    Token(Vec<u8>),
    NoToken,
}

impl Inner {
    /// `None` when the value is not an object with that field.
    fn token_of(value: &[u8]) -> Option<Self> {
        if !json::begins_object(value) {
            return None;
        }
        let text = std::str::from_utf8(value).ok()?;
        let fields = json::object(text, &["task_token"], Others::Pass).ok()?;
        let raw = fields.raw(0)?;
        let token = json::text(raw).and_then(|text| decode_base64(text.as_bytes()));
        Some(token.map_or(Self::NoToken, Self::Token))
    }
}
