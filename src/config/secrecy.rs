//! Where secrets lie, for those who look whether others can read them.

use std::path::Path;

use super::{Properties, Settings, file};

/// The settings in this file that are secrets, by name. None when the file cannot be read: loading tells that.
#[must_use]
pub fn secrets_in(path: &Path) -> Vec<String> {
    let names = file::read(path).map(|file| file.lines.into_keys()).into_iter().flatten();
    let is_secret = |name: &str| match name.strip_prefix("kafka.properties.") {
        Some(property) => Properties::is_secret(property),
        None => name == "cadence.authorization",
    };
    names.filter(|name| is_secret(name)).collect()
}

impl Settings {
    /// Files of private keys that the settings name, each with its setting.
    #[must_use]
    pub fn key_files(&self) -> Vec<(&'static str, &Path)> {
        let of_engine = self.cadence.key_file.as_deref().map(|path| ("cadence.key_file", path));
        let of_kafka = self.kafka.properties.get("ssl.key.location").map(Path::new);
        let of_kafka = of_kafka.map(|path| ("kafka.properties.ssl.key.location", path));
        of_engine.into_iter().chain(of_kafka).collect()
    }
}
