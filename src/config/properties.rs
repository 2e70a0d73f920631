//! `[kafka.properties]`: settings passed on to librdkafka.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::secret::REDACTED;

/// librdkafka properties by name. Shown with every value redacted whose name says that it is a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

/// A property whose name contains one of these holds a secret.
const SECRET_NAMES: [&str; 8] =
    ["password", "secret", "jaas", "key.pem", "sasl.oauthbearer.config", "private.key", "token", "passphrase"];

impl Properties {
    /// Name and value, secrets in the clear, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of `name`, a secret in the clear.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets `name`, for settings made by a program.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Whether a property of this name holds a secret.
    #[must_use]
    pub fn is_secret(name: &str) -> bool {
        // Where keys and tokens come from is no secret, and worth seeing.
        !name.ends_with(".url") && !name.ends_with(".location") && SECRET_NAMES.iter().any(|part| name.contains(part))
    }

    fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().map(|(name, value)| (name, if Self::is_secret(name) { REDACTED } else { value }))
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown())
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut properties = BTreeMap::new();
        flatten("", toml::Table::deserialize(deserializer)?, &mut properties).map_err(de::Error::custom)?;
        Ok(Self(properties))
    }
}

/// Names with dots need no quotes: TOML reads `sasl.password = ".."` as nested tables, which are joined again here.
/// Numbers and truth values need none either.
fn flatten(prefix: &str, table: toml::Table, into: &mut BTreeMap<String, String>) -> Result<(), String> {
    for (key, value) in table {
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        let text = match value {
            toml::Value::Table(inner) => {
                flatten(&name, inner, into)?;
                continue;
            }
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            other => return Err(format!("`{name}` must be text, a number or true/false, not {}", other.type_str())),
        };
        into.insert(name, text);
    }
    Ok(())
}
