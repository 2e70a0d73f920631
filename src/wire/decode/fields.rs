//! The fields of an object as the contract reads them, and what is said of those that it refuses.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::super::json::{self, Fields, NameFault, NotAnObject};
use super::{Fault, RefusalCode, decode_base64, not_text};

pub(super) fn optional_text<'a>(
    raw: Option<&'a RawValue>,
    prefix: &str,
    name: &str,
) -> Result<Option<Cow<'a, str>>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    json::text(raw).map(Some).ok_or_else(|| not_text(&format!("`{prefix}{name}`"), raw))
}

pub(super) fn base64_field(raw: &RawValue, name: &str) -> Result<Bytes, Fault> {
    let Some(text) = json::text(raw) else {
        return Err(Fault::new(RefusalCode::BadField, format!("`{name}` must be a string")));
    };
    let wrong = || Fault::new(RefusalCode::BadBase64, format!("`{name}` is not base64"));
    decode_base64(text.as_bytes()).map(Bytes::from).ok_or_else(wrong)
}

/// No bytes are nothing: the engine's clients cannot decode an empty payload.
pub(super) fn some_bytes(bytes: Bytes) -> Option<Bytes> {
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

pub(super) fn not_an_object(what: &str, fault: NotAnObject) -> Fault {
    let detail = match fault {
        NotAnObject::OtherValue => format!("{what} is JSON, but not an object"),
        NotAnObject::Syntax(problem) => format!("{what} is not JSON: {problem}"),
    };
    Fault::new(RefusalCode::BadJson, detail)
}

pub(super) fn field_object(name: &str, fault: NotAnObject) -> Fault {
    match fault {
        NotAnObject::OtherValue => Fault::new(RefusalCode::BadField, format!("`{name}` must be an object")),
        syntax @ NotAnObject::Syntax(_) => not_an_object(&format!("`{name}`"), syntax),
    }
}

pub(super) fn check_names<const N: usize>(
    fields: &Fields<'_, N>,
    prefix: &str,
    known: &[&str; N],
) -> Result<(), Fault> {
    let Some(fault) = &fields.fault else { return Ok(()) };
    Err(match fault {
        NameFault::Twice(name) => {
            let detail = format!("a field is given twice: {prefix}{}", json::show_name(name));
            Fault::new(RefusalCode::DuplicateField, detail)
        }
        NameFault::Unknown(name) | NameFault::OtherCase(name) => {
            let hint = nearest(name, known).map(|near| format!("; did you mean `{prefix}{near}`?")).unwrap_or_default();
            let detail = format!("unknown field {prefix}{}{hint}", json::show_name(name));
            Fault::new(RefusalCode::UnknownField, detail)
        }
        NameFault::TooMany => Fault::new(RefusalCode::UnknownField, format!("too many unknown fields in `{prefix}`")),
    })
}

/// The known name that a wrong one was probably meant to be.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    if name.len() > 48 {
        return None;
    }
    let likeness = |known: &str| strsim::jaro_winkler(&plain(known), &plain(name));
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.88).then_some(best)
}
