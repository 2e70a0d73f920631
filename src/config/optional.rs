//! Optional text: an empty string is the same as nothing, so that the environment can take a value away again.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Secret;

/// What an empty string can stand for the absence of.
pub(super) trait Text: From<String> + Serialize {}

impl Text for String {}
impl Text for PathBuf {}
impl Text for Secret {}

pub(super) fn serialize<T: Text, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => value.serialize(serializer),
        None => serializer.serialize_str(""),
    }
}

pub(super) fn deserialize<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((!text.is_empty()).then(|| T::from(text)))
}
