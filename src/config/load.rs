//! From file and environment to settings, or to everything that is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::{Table, Value};

use super::names::{self, ENV_PREFIX, PROPERTIES};
use super::{Fault, Faults, Origin, Route, Settings, check, file};

impl Settings {
    /// Reads the file, lets the environment override it, and checks the whole.
    ///
    /// Of `env` only variables that begin with `HANDBACK__` are looked at. Lists are separated by commas, or written as in
    /// TOML (lists of tables always).
    ///
    /// # Errors
    /// Every fault there is, each with its origin: unknown names, wrong types, values that do not go together.
    pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self, Faults> {
        Self::read(path, env, Purpose::Bridge)
    }

    /// The same for a process that joins no consumer group: `kafka.group_id` may be absent.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_without_group(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        Self::read(path, env, Purpose::Other)
    }

    /// The same for a process that only dispatches: `kafka.group_id` may be absent, `dispatch.routes` may not.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_for_dispatch(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self, Faults> {
        Self::read(path, env, Purpose::Dispatch)
    }

    /// The same for a look from outside at a process of either kind: `kafka.group_id` may be absent where there are
    /// `dispatch.routes`.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_for_check(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self, Faults> {
        Self::read(path, env, Purpose::Check)
    }

    fn read(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        purpose: Purpose,
    ) -> Result<Self, Faults> {
        let mut draft = Draft::default();
        if let Some(path) = path {
            draft.read_file(path)?;
        }
        draft.read_env(env);
        draft.refuse_unknown_names();
        draft.into_settings(purpose)
    }
}

/// What the settings are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Bridge,
    Dispatch,
    Check,
    Other,
}

/// Settings on the way: values by name, where each came from, and what was wrong so far.
#[derive(Default)]
struct Draft {
    table: Table,
    origins: BTreeMap<String, Origin>,
    faults: Vec<Fault>,
}

impl Draft {
    fn read_file(&mut self, path: &Path) -> Result<(), Faults> {
        let file = file::read(path).map_err(Faults)?;
        self.table = file.table;
        let origin = |line| Origin::File { path: path.to_owned(), line };
        self.origins = file.lines.into_iter().map(|(name, line)| (name, origin(line))).collect();
        Ok(())
    }

    fn read_env(&mut self, env: impl Iterator<Item = (String, String)>) {
        let defaults = Table::try_from(Settings::default()).unwrap_or_default();
        // Sorted, so that faults come in the same order each time.
        for (variable, text) in env.collect::<BTreeMap<_, _>>() {
            let Some(rest) = variable.strip_prefix(ENV_PREFIX) else { continue };
            let lower = rest.to_lowercase();
            let (section, field) = lower.split_once("__").unwrap_or((lower.as_str(), ""));
            if let Some(property) = lower.strip_prefix("kafka__properties__") {
                self.set_property(&variable, &property.replace('_', "."), text);
            } else if names::is_known(section, field) && field != "properties" {
                let value = typed(&text, defaults.get(section).and_then(|s| s.get(field)));
                self.set(&variable, section, field, value);
            } else {
                let message = unknown_variable(section, field);
                self.faults.push(Fault { setting: String::new(), origin: Origin::Env(variable), message });
            }
        }
    }

    fn set(&mut self, variable: &str, section: &str, field: &str, value: Value) {
        if let Value::Table(table) = self.table.entry(section).or_insert_with(|| Value::Table(Table::new())) {
            table.insert(field.to_owned(), value);
        }
        self.origins.insert(format!("{section}.{field}"), Origin::Env(variable.to_owned()));
    }

    fn set_property(&mut self, variable: &str, property: &str, text: String) {
        let kafka = self.table.entry("kafka").or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(kafka) = kafka else { return };
        let properties = kafka.entry("properties").or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(properties) = properties else { return };
        // The file may have spelt the same name as nested tables, which would win or lose by chance.
        remove_nested(properties, property);
        properties.insert(property.to_owned(), Value::String(text));
        self.origins.insert(format!("{PROPERTIES}.{property}"), Origin::Env(variable.to_owned()));
    }

    /// Takes every name out of the table that nothing goes by, so that what remains is a matter of types and values.
    fn refuse_unknown_names(&mut self) {
        for (section, fields) in std::mem::take(&mut self.table) {
            let Some(known) = names::section(&section) else {
                self.fault(&section, unknown_section(&section, &fields));
                continue;
            };
            let Value::Table(fields) = fields else {
                self.fault(&section, format!("is a section, write [{section}] and its fields below"));
                continue;
            };
            let (good, bad): (Vec<_>, Vec<_>) =
                fields.into_iter().partition(|(field, _)| names::is_known(known.name, field));
            for (field, value) in bad {
                self.fault(&format!("{section}.{field}"), unknown_field(&section, &field, &value));
            }
            self.table.insert(section, Value::Table(good.into_iter().collect()));
        }
        self.refuse_unknown_names_of_routes();
    }

    fn refuse_unknown_names_of_routes(&mut self) {
        let routes = self.table.get_mut("dispatch").and_then(|section| section.get_mut("routes"));
        let Some(Value::Array(routes)) = routes else { return };
        let mut unknown = Vec::new();
        for (number, route) in routes.iter_mut().enumerate() {
            let Value::Table(route) = route else { continue };
            let names: Vec<String> =
                route.keys().filter(|name| !Route::FIELDS.contains(&name.as_str())).cloned().collect();
            for name in names {
                route.remove(&name);
                unknown.push((format!("dispatch.routes[{number}].{name}"), names::nearest_of(&Route::FIELDS, &name)));
            }
        }
        for (setting, meant) in unknown {
            self.fault(&setting, did_you_mean("unknown setting", meant.map(str::to_owned)));
        }
    }

    fn into_settings(mut self, purpose: Purpose) -> Result<Settings, Faults> {
        let settings = self.deserialise();
        let wrong: BTreeSet<String> = self.faults.iter().map(|fault| fault.setting.clone()).collect();
        for (setting, message) in check::check(&settings, &wrong, purpose) {
            self.fault(&setting, message);
        }
        if self.faults.is_empty() { Ok(settings) } else { Err(Faults(self.faults)) }
    }

    /// Deserialises what can be: each value of a wrong type is a fault and is left out of the next try.
    fn deserialise(&mut self) -> Settings {
        loop {
            let error = match serde_path_to_error::deserialize(self.table.clone()) {
                Ok(settings) => return settings,
                Err(error) => error,
            };
            let path = error.path().to_string();
            let (section, rest) = path.split_once('.').unwrap_or((path.as_str(), ""));
            let field = rest.split(['.', '[']).next().unwrap_or_default();
            if let Some(setting) = self.remove_of_element(section, rest) {
                self.fault(&setting, one_line(&error.into_inner().to_string()));
                continue;
            }
            let removed = match self.table.get_mut(section) {
                Some(Value::Table(fields)) => fields.remove(field).is_some(),
                _ => self.table.remove(section).is_some(),
            };
            // One fault for each leaf; the element of a list is named in the path that is shown.
            self.fault(&format!("{section}.{field}"), one_line(&error.into_inner().to_string()));
            if !removed {
                return Settings::default();
            }
        }
    }

    /// Removes the field of one table among several, such as `routes[1].topic`, and returns its whole name.
    fn remove_of_element(&mut self, section: &str, rest: &str) -> Option<String> {
        let (list, rest) = rest.split_once('[')?;
        let (number, field) = rest.split_once("].")?;
        let elements = self.table.get_mut(section)?.get_mut(list)?.as_array_mut()?;
        elements.get_mut(number.parse::<usize>().ok()?)?.as_table_mut()?.remove(field)?;
        Some(format!("{section}.{list}[{number}].{field}"))
    }

    fn fault(&mut self, setting: &str, message: String) {
        let origin = self.origins.get(setting).cloned().unwrap_or(Origin::Default);
        self.faults.push(Fault { setting: setting.to_owned(), origin, message });
    }
}

/// The text of a variable as the type that the default has; text that does not parse stays text, which
/// deserialisation then refuses with its reason.
fn typed(text: &str, default: Option<&Value>) -> Value {
    let parsed = match default {
        Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
        Some(Value::Integer(_)) => text.parse().ok().map(Value::Integer),
        Some(Value::Float(_)) => text.parse().ok().map(Value::Float),
        Some(Value::Array(_)) if text.trim_start().starts_with('[') => {
            format!("list = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("list"))
        }
        Some(Value::Array(_)) => Some(Value::Array(
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect(),
        )),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::from(text))
}

/// Removes `a.b.c`, written as nested tables, from `table`.
fn remove_nested(table: &mut Table, name: &str) {
    let Some((head, tail)) = name.split_once('.') else {
        table.remove(name);
        return;
    };
    if let Some(Value::Table(inner)) = table.get_mut(head) {
        remove_nested(inner, tail);
    }
}

fn unknown_section(name: &str, value: &Value) -> String {
    let meant = match value {
        Value::Table(_) => names::nearest_section(name).map(|section| format!("[{section}]")),
        _ => names::nearest("", name),
    };
    did_you_mean("unknown setting", meant)
}

fn unknown_field(section: &str, field: &str, value: &Value) -> String {
    // `sasl.mechanism = ".."` below [kafka] is read as a table.
    if section == "kafka" && (value.is_table() || field.contains('.')) {
        return "unknown setting; properties of librdkafka belong below [kafka.properties]".into();
    }
    did_you_mean("unknown setting", names::nearest(section, field))
}

fn unknown_variable(section: &str, field: &str) -> String {
    let meant = if section == "kafka" && ["sasl_", "ssl_", "security_"].iter().any(|p| field.starts_with(p)) {
        Some(names::env_name(&format!("{PROPERTIES}.{field}")))
    } else if field.is_empty() {
        names::nearest("", section).map(|setting| names::env_name(&setting))
    } else {
        names::nearest(section, field).map(|setting| names::env_name(&setting))
    };
    did_you_mean("no setting goes by this name", meant)
}

fn did_you_mean(what: &str, meant: Option<String>) -> String {
    match meant {
        Some(name) => format!("{what}; did you mean {name}?"),
        None => format!("{what}; `handback settings` lists them all"),
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
