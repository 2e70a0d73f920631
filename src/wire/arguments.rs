//! The arguments of an activity, as the data converters of Cadence's clients write them.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json;

/// The arguments of an activity. `Debug` shows their number or size only.
#[derive(Clone)]
pub enum Input {
    /// Every argument is JSON; the exact text of each.
    Json(Vec<Box<RawValue>>),
    /// Anything else, as the workflow's data converter wrote it.
    Bytes(Bytes),
}

/// Whose data converter wrote the arguments.
///
/// Go writes each argument as JSON with a line break after it (`encoding/json`), Python the same with one space between
/// two. Java (`JsonDataConverter`) writes one argument as it is and several as one JSON list: `[1,2]` of Java is two
/// arguments or one that is a list, and nothing in the bytes tells which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// What ends in a line break is Go's. Of the rest one list alone is Java's list of arguments, anything else Python's
    /// or a single argument of Java. Wrong for one argument of Python or Java that is a list.
    #[default]
    Auto,
    /// JSON values one after the other, each with a line break after it.
    Go,
    /// One JSON value: a list is the list of arguments, anything else the only argument.
    Java,
    /// JSON values one after the other, a space between two.
    Python,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(values) => write!(f, "Json({} values)", values.len()),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

impl Input {
    /// Arguments as Go's and Python's data converters write them: JSON values one after the other, white space between.
    /// Whatever is not that stays bytes.
    #[must_use]
    pub fn from_payload(payload: Bytes) -> Self {
        match sequence(&payload) {
            Some(values) => Self::Json(values),
            None => Self::Bytes(payload),
        }
    }

    /// Arguments as this data converter writes them; each keeps the exact text it has. Whatever is not that stays bytes.
    #[must_use]
    pub fn decode(payload: Bytes, encoding: Encoding) -> Self {
        let as_java = match encoding {
            Encoding::Go | Encoding::Python => false,
            Encoding::Java => true,
            Encoding::Auto => payload.last() != Some(&b'\n'),
        };
        match sequence(&payload) {
            Some(values) if as_java => Self::Json(unlisted(values)),
            Some(values) => Self::Json(values),
            None => Self::Bytes(payload),
        }
    }
}

/// JSON values one after the other. `None` when anything else is among them, or when it is not UTF-8.
fn sequence(payload: &[u8]) -> Option<Vec<Box<RawValue>>> {
    serde_json::Deserializer::from_slice(payload).into_iter::<Box<RawValue>>().collect::<Result<_, _>>().ok()
}

/// The items of one list alone; anything else as it is.
fn unlisted(values: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
    let items = match &values[..] {
        [only] if only.get().starts_with('[') => json::items(only),
        _ => None,
    };
    items.unwrap_or(values)
}
