//! Which form a record is in (wire contract, section 3): chosen by headers, in a fixed order.

use super::super::json::{self, Others};
use super::{Fault, Headers, Record, RefusalCode, decode_base64, names};

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
        return Ok(Form::Headers);
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
