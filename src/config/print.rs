//! Settings as text: in effect, and as a reference of all there are.

use std::fmt::Write;

use toml::Table;

use super::Settings;
use super::names::{SECTIONS, env_name};

impl Settings {
    /// The settings in effect as TOML, every secret redacted.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// A settings file that holds every setting with its default and explanation.
    #[must_use]
    pub fn reference() -> String {
        let defaults = Self::default_table();
        let mut text = String::from("# Every setting of handback with its default.\n");
        for section in &SECTIONS {
            let _ = write!(text, "\n#{}\n[{}]\n", section.about, section.name);
            for (field, about) in section.fields {
                for line in wrapped(about.trim(), 100) {
                    let _ = writeln!(text, "# {line}");
                }
                let _ = match &defaults[section.name][field] {
                    toml::Value::Table(_) => writeln!(text, "[{}.{field}]\n", section.name),
                    value => writeln!(text, "{field} = {value}\n"),
                };
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    /// The same as a Markdown table: name, default, meaning.
    #[must_use]
    pub fn markdown() -> String {
        let defaults = Self::default_table();
        let mut text = String::from("| setting | default | meaning |\n|---|---|---|\n");
        for section in &SECTIONS {
            for (field, about) in section.fields {
                let default = match &defaults[section.name][field] {
                    toml::Value::Table(_) => "none".into(),
                    toml::Value::String(value) if value.is_empty() => "none".into(),
                    value => format!("`{value}`"),
                };
                let _ = writeln!(text, "| `{}.{field}` | {default} | {} |", section.name, about.trim());
            }
        }
        text
    }

    /// The environment variable that overrides `section.field`.
    #[must_use]
    pub fn env_name(setting: &str) -> String {
        env_name(setting)
    }

    fn default_table() -> Table {
        Table::try_from(Self::default()).unwrap_or_default()
    }
}

/// `text` in lines of at most `width` characters, broken at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
