//! What a record that is refused looks like: the mistakes that people make most, told beside the fault itself. Asked only
//! of replies that are refused already, so that nothing here changes what is accepted.

use super::super::json;
use super::form::{self, Form};
use super::{Fault, Headers, Record, RefusalCode, names};

/// Every header that a reply may have, but the attributes of CloudEvents.
const HEADERS: [&str; 15] = [
    names::CONTENT_TYPE,
    names::CORRELATION_ID,
    names::TASK_TOKEN,
    names::DOMAIN,
    names::WORKFLOW_ID,
    names::RUN_ID,
    names::ACTIVITY_ID,
    names::ATTEMPT,
    names::ACTION,
    names::FAILURE_REASON,
    names::FAILURE_MESSAGE,
    names::FAILURE_STYLE,
    names::IDEMPOTENCY_KEY,
    names::SPRING_EXCEPTION,
    names::SPRING_EXCEPTION_MESSAGE,
];

/// The attributes of CloudEvents in binary mode, as headers.
const ATTRIBUTES: [&str; 9] = [
    names::CE_SPECVERSION,
    names::CE_TYPE,
    names::CE_ID,
    names::CE_SOURCE,
    names::CE_TASK_TOKEN,
    names::CE_FAILURE_REASON,
    names::CE_FAILURE_MESSAGE,
    names::CE_FAILURE_STYLE,
    names::CE_IDEMPOTENCY_KEY,
];

/// The fault with what the record looks like, if it looks like anything.
pub(super) fn explain(mut fault: Fault, record: &Record, form: Option<Form>) -> Fault {
    if !is_of_form(fault.code) {
        return fault;
    }
    let value = record.value.as_deref().unwrap_or_default();
    let of_value = if form == Some(Form::Envelope) { looks_like(value) } else { None };
    if let Some(hint) = misspelt(&record.headers).or(of_value) {
        fault.detail.push_str("; ");
        fault.detail.push_str(&hint);
    }
    fault
}

/// Whether a fault may come from a record that was meant in another form than it was read in. The others are about what a
/// field says.
fn is_of_form(code: RefusalCode) -> bool {
    use RefusalCode as Code;
    matches!(
        code,
        Code::Tombstone
            | Code::EmptyValue
            | Code::BadUtf8
            | Code::BadJson
            | Code::UnknownField
            | Code::MissingField
            | Code::NoTarget
            | Code::MissingReason
            | Code::MissingMessage
    )
}

/// A header that is one of the contract's but for upper and lower case, or what stands between its words.
fn misspelt(headers: &Headers) -> Option<String> {
    let mut found = None;
    let named = headers.iter().filter_map(|(name, value)| Some((name.as_str()?, value)));
    for (name, value) in named.filter(|(name, _)| is_plain(name)) {
        let is_it = |known: &&&str| **known != name && plain(known).eq(plain(name));
        if let Some(known) = ATTRIBUTES.iter().find(is_it) {
            return Some(format!(
                "it looks like a CloudEvent in binary mode, but header {name} is not read: did you mean header {known}?"
            ));
        }
        if plain(name).take(11).eq("cloudevents".bytes()) {
            return Some(
                "it looks like a CloudEvent as AMQP carries it; on Kafka the attributes are headers ce_..".into(),
            );
        }
        let Some(known) = HEADERS.iter().find(is_it) else { continue };
        // Frameworks have content types of their own under such names.
        if *known == names::CONTENT_TYPE && !value.is_some_and(|value| form::names_a_form(value)) {
            continue;
        }
        found.get_or_insert_with(|| format!("header {name} is not read: did you mean header {known}?"));
    }
    found
}

/// Whether a name can be shown: a stranger's may be anything.
fn is_plain(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'))
}

/// A name without case and without what stands between words.
fn plain(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

/// What a value that is no envelope was meant to be.
fn looks_like(value: &[u8]) -> Option<String> {
    let text = value.trim_ascii();
    let known = match text {
        [b'{', 0, ..] => "UTF-16: write UTF-8",
        [b'{', ..] => return looks_like_object(text),
        [0, rest @ ..] if rest.len() >= 4 => return confluent(rest),
        [0x1f, 0x8b, ..] => "gzip: leave compression to the producer (compression.type)",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd: leave compression to the producer (compression.type)",
        [0xef, 0xbb, 0xbf, ..] => "JSON behind a byte order mark (UTF-8 with BOM): write it without",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16: write UTF-8",
        [0xac, 0xed, 0, 5, ..] => "a serialised Java object: write JSON, with a serialiser for text or JSON",
        [0x80, 2..=5, ..] => "a Python pickle: write JSON",
        [b'O', b'b', b'j', 1, ..] => "an Avro file: write JSON",
        [b'<', ..] => "XML: write JSON",
        [b'[', ..] => "a list: write each reply as a record of its own",
        [b'"', ..] => return encoded_twice(text),
        [b'\'', b'{', ..] | [b'b', b'\'' | b'"', ..] => {
            "JSON inside quotes of the language that wrote it: write the text itself"
        }
        _ if text.starts_with(b"eyJ") => "base64 of JSON: write the JSON itself",
        _ => return None,
    };
    Some(format!("it looks like {known}"))
}

/// The frame of Confluent's serialisers: a zero, the schema's id in four bytes, then the value.
fn confluent(rest: &[u8]) -> Option<String> {
    let (id, value) = rest.split_first_chunk().map(|(id, value)| (u32::from_be_bytes(*id), value))?;
    let what = if json::begins_object(value) { "JSON" } else { "a value" };
    Some(format!(
        "it looks like {what} in the frame of Confluent's schema registry (schema id {id}): use a serialiser for text or plain \
         JSON, or header mode, where the value may be anything"
    ))
}

/// A JSON text inside a JSON text.
fn encoded_twice(text: &[u8]) -> Option<String> {
    let inner: String = serde_json::from_slice(text).ok()?;
    json::begins_object(inner.as_bytes())
        .then(|| "it looks like JSON inside a JSON string: it was serialised twice, write the object itself".into())
}

fn looks_like_object(text: &[u8]) -> Option<String> {
    let inside = text[1..].trim_ascii_start();
    if inside.starts_with(b"'") {
        return Some(
            "it looks like a Python dict or JavaScript: JSON has double quotes (json.dumps, JSON.stringify)".into(),
        );
    }
    let word = inside.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    if word > 0 && inside.get(word) == Some(&b'=') {
        return Some("it looks like a map printed by Java (toString): write JSON".into());
    }
    if word > 0 && inside[word..].trim_ascii_start().starts_with(b":") {
        return Some("the names of its fields have no quotes; JSON has double quotes around them".into());
    }
    form::is_event(text).then(|| {
        let content_type = names::CLOUD_EVENT_JSON_TYPE;
        format!("it looks like a CloudEvent in structured mode: say so in header content-type, {content_type}")
    })
}
