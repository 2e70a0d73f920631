//! The few things that the contract needs of JSON, without a tree: fields of one object as the exact text they have.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Fields beyond the known ones that an object may have. More than any newer version will add, and few enough that
/// looking for doubles among them costs nothing.
const MAX_OTHER_FIELDS: usize = 64;

/// The fields of one object: the exact text of each known one, and what is wrong with the names.
pub(crate) struct Fields<'a, const N: usize> {
    values: [Option<&'a RawValue>; N],
    /// The first wrong name, if any. The object was read to its end all the same.
    pub(crate) fault: Option<NameFault>,
}

impl<'a, const N: usize> Fields<'a, N> {
    /// The value of the field with this index, null included.
    pub(crate) fn raw(&self, index: usize) -> Option<&'a RawValue> {
        self.values[index]
    }

    /// The value of the field with this index, null counted as absent.
    pub(crate) fn get(&self, index: usize) -> Option<&'a RawValue> {
        self.values[index].filter(|value| !is_null(value))
    }
}

/// What is wrong with a name in an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NameFault {
    /// Given twice.
    Twice(String),
    /// Not known, and unknown names are refused.
    Unknown(String),
    /// A known name in another spelling of upper and lower case, where a reader exists that folds case.
    OtherCase(String),
    /// Too many names that are not known.
    TooMany,
}

/// What to do with names that are not known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// They are a fault.
    Refuse,
    /// Newer versions may add some: they are ignored, unless one is given twice.
    Ignore,
    /// Ignored without any check: only the known names are asked about.
    Pass,
    /// Ignored, but a known name in another case is a fault.
    IgnoreExactCase,
}

/// Why a text is not one JSON object.
#[derive(Debug)]
pub(crate) enum NotAnObject {
    /// It is valid so far, but begins something else.
    OtherValue,
    /// It is not JSON. The message holds a position, nothing of the text.
    Syntax(String),
}

/// Reads `text` as one object. Nothing is recursive: nesting costs memory of its own length at most.
pub(crate) fn object<'a, const N: usize>(
    text: &'a str,
    names: &'static [&'static str; N],
    others: Others,
) -> Result<Fields<'a, N>, NotAnObject> {
    if !begins_object(text.as_bytes()) {
        return Err(other_value(text));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let visitor = ObjectVisitor { names, others };
    let fields = (&mut json).deserialize_map(visitor).map_err(syntax)?;
    json.end().map_err(syntax)?;
    Ok(fields)
}

/// A struct that is read of an object and of nothing else. What serde derives takes a list of the fields in their order as
/// well, which no schema of ours allows.
pub(crate) struct OnlyObject<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OnlyObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnlyObjectVisitor(PhantomData)).map(Self)
    }
}

/// Whether the first byte that is not white space opens an object.
pub(crate) fn begins_object(text: &[u8]) -> bool {
    text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// Whether `bytes` are exactly one JSON value, white space around it allowed.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok()
}

/// Whether a value is null.
pub(crate) fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// The text of a string value; `None` when it is not a string or has half a surrogate pair.
pub(crate) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = value.get();
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if inner.as_bytes().contains(&b'\\') {
        return serde_json::from_str(quoted).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// The text of a string value, with U+FFFD in the place of each half of a surrogate pair; `None` when it is not a string.
pub(crate) fn text_lossy(value: &RawValue) -> Option<Cow<'_, str>> {
    text(value).or_else(|| {
        let mut json = serde_json::Deserializer::from_str(value.get());
        json.deserialize_bytes(WholeCharacters).ok().map(Cow::Owned)
    })
}

/// Whether a value is a string, readable or not.
pub(crate) fn is_string(value: &RawValue) -> bool {
    value.get().starts_with('"')
}

/// How many bytes a character takes inside a JSON string of ours.
pub(crate) fn escaped_len(letter: char) -> usize {
    match letter {
        '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

/// The items of a list, each as the exact text it has; `None` when it is no list.
pub(crate) fn items(value: &RawValue) -> Option<Vec<Box<RawValue>>> {
    serde_json::from_str(value.get()).ok()
}

/// The value of an integer, without fraction and exponent.
pub(crate) fn integer(value: &RawValue) -> Option<i64> {
    value.get().parse().ok()
}

/// How many objects and lists are open at once at the deepest place of a value.
pub(crate) fn depth(value: &RawValue) -> usize {
    let (mut open, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in value.get().bytes() {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_text = false,
            (true, _) => {}
            (false, b'"') => in_text = true,
            (false, b'{' | b'[') => {
                open += 1;
                deepest = deepest.max(open);
            }
            (false, b'}' | b']') => open = open.saturating_sub(1),
            (false, _) => {}
        }
    }
    deepest
}

/// Writes `value` into a fresh buffer with room for `capacity` bytes.
pub(crate) fn to_vec<T: Serialize>(value: &T, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    write_value(&mut bytes, value);
    bytes
}

/// Appends a value of ours.
pub(crate) fn write_value<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    #[expect(clippy::expect_used, reason = "our documents have string keys only, and a Vec takes every byte")]
    serde_json::to_writer(out, value).expect("a document of ours serialises");
}

/// A name for people: as it is when it looks like a name, otherwise its length. A stranger's key can be anything, also a
/// secret in the wrong place.
pub(crate) fn show_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !name.is_empty() && name.len() <= 48 && name.bytes().all(plain) {
        return format!("`{name}`");
    }
    format!("with a name of {} bytes", name.len())
}

fn syntax(error: serde_json::Error) -> NotAnObject {
    NotAnObject::Syntax(describe(&error))
}

/// What is wrong and where, without any of the text: errors that are not about syntax quote the value.
pub(crate) fn describe(error: &serde_json::Error) -> String {
    if error.is_syntax() || error.is_eof() {
        return error.to_string();
    }
    format!("unexpected value at line {} column {}", error.line(), error.column())
}

fn other_value(text: &str) -> NotAnObject {
    if text.starts_with('\u{feff}') {
        return NotAnObject::Syntax("it begins with a byte order mark".to_owned());
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => NotAnObject::OtherValue,
        Err(error) => syntax(error),
    }
}

struct OnlyObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Reads a string that may hold halves of surrogate pairs, which come as three bytes each that are not UTF-8.
struct WholeCharacters;

impl Visitor<'_> for WholeCharacters {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, mut bytes: &[u8]) -> Result<String, E> {
        let mut text = String::with_capacity(bytes.len());
        loop {
            let whole = std::str::from_utf8(bytes).map_or_else(|fault| fault.valid_up_to(), |whole| whole.len());
            text.push_str(&String::from_utf8_lossy(&bytes[..whole]));
            if whole == bytes.len() {
                return Ok(text);
            }
            text.push(char::REPLACEMENT_CHARACTER);
            bytes = bytes.get(whole + 3..).unwrap_or_default();
        }
    }
}

struct ObjectVisitor<const N: usize> {
    names: &'static [&'static str; N],
    others: Others,
}

impl<'de, const N: usize> Visitor<'de> for ObjectVisitor<N> {
    type Value = Fields<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields { values: [None; N], fault: None };
        let mut other_names: Vec<String> = Vec::new();
        while let Some(name) = map.next_key_seed(NameSeed { names: self.names })? {
            let value: &'de RawValue = map.next_value()?;
            let fault = match name {
                Name::Known(index) if fields.values[index].is_some() => {
                    Some(NameFault::Twice(self.names[index].to_owned()))
                }
                Name::Known(index) => {
                    fields.values[index] = Some(value);
                    None
                }
                Name::Other(name) => self.judge_other(name, &mut other_names),
            };
            fields.fault = fields.fault.or(fault);
        }
        Ok(fields)
    }
}

impl<const N: usize> ObjectVisitor<N> {
    fn judge_other(&self, name: String, seen: &mut Vec<String>) -> Option<NameFault> {
        if self.others == Others::Refuse {
            return Some(NameFault::Unknown(name));
        }
        if self.others == Others::Pass {
            return None;
        }
        if self.others == Others::IgnoreExactCase && self.names.iter().any(|known| folds_to(&name, known)) {
            return Some(NameFault::OtherCase(name));
        }
        if seen.contains(&name) {
            return Some(NameFault::Twice(name));
        }
        if seen.len() == MAX_OTHER_FIELDS {
            return Some(NameFault::TooMany);
        }
        seen.push(name);
        None
    }
}

/// Whether Go's decoder takes `name` for `known`: it folds case as Unicode does, by which the long s and the Kelvin sign
/// are letters of ASCII names.
fn folds_to(name: &str, known: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(known.chars().map(fold))
}

enum Name {
    Known(usize),
    Other(String),
}

struct NameSeed<const N: usize> {
    names: &'static [&'static str; N],
}

impl<'de, const N: usize> DeserializeSeed<'de> for NameSeed<N> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<const N: usize> Visitor<'_> for NameSeed<N> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        let known = self.names.iter().position(|known| *known == name);
        Ok(known.map_or_else(|| Name::Other(name.to_owned()), Name::Known))
    }
}
