//! The names that may be set, what they mean, and the nearest right one for a wrong one.

use super::{Admin, Breaker, Bridge, Cadence, DeadLetters, Dispatch, Flood, Kafka, Ledger, Log, Lookup, Retry, Topics};

/// Prefix of the environment variables; what follows is `SECTION__FIELD`.
pub(super) const ENV_PREFIX: &str = "HANDBACK__";

/// The table whose names are librdkafka's and not ours.
pub(super) const PROPERTIES: &str = "kafka.properties";

/// A section: name, explanation, and name and explanation of each field.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) fields: &'static [(&'static str, &'static str)],
}

impl Section {
    const fn new(name: &'static str, about: &'static str, fields: &'static [(&'static str, &'static str)]) -> Self {
        Self { name, about, fields }
    }
}

/// All sections, in reading order.
pub(super) const SECTIONS: [Section; 13] = [
    Section::new("kafka", Kafka::ABOUT, Kafka::FIELDS),
    Section::new("topics", Topics::ABOUT, Topics::FIELDS),
    Section::new("cadence", Cadence::ABOUT, Cadence::FIELDS),
    Section::new("bridge", Bridge::ABOUT, Bridge::FIELDS),
    Section::new("retry", Retry::ABOUT, Retry::FIELDS),
    Section::new("lookup", Lookup::ABOUT, Lookup::FIELDS),
    Section::new("breaker", Breaker::ABOUT, Breaker::FIELDS),
    Section::new("flood", Flood::ABOUT, Flood::FIELDS),
    Section::new("ledger", Ledger::ABOUT, Ledger::FIELDS),
    Section::new("dead_letters", DeadLetters::ABOUT, DeadLetters::FIELDS),
    Section::new("dispatch", Dispatch::ABOUT, Dispatch::FIELDS),
    Section::new("admin", Admin::ABOUT, Admin::FIELDS),
    Section::new("log", Log::ABOUT, Log::FIELDS),
];

/// The section of that name.
pub(super) fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// Whether `section.field` may be set.
pub(super) fn is_known(section_name: &str, field: &str) -> bool {
    section(section_name).is_some_and(|section| section.fields.iter().any(|(name, _)| *name == field))
}

/// `section.field` as an environment variable.
pub(super) fn env_name(setting: &str) -> String {
    format!("{ENV_PREFIX}{}", setting.replace('.', "__").to_uppercase())
}

/// Two names less alike than this are not the same name misspelt.
const ALIKE: f64 = 0.8;

/// A field of another section must be more alike by this much to be preferred.
const ELSEWHERE: f64 = 0.05;

/// The known setting that `section.field` was most likely meant to be.
pub(super) fn nearest(section: &str, field: &str) -> Option<String> {
    let every = SECTIONS.iter().flat_map(|s| s.fields.iter().map(move |(name, _)| (s.name, *name)));
    let scored = every.map(|(known_section, known_field)| {
        let away = if strsim::jaro_winkler(section, known_section) >= ALIKE { 0.0 } else { ELSEWHERE };
        (strsim::jaro_winkler(field, known_field) - away, format!("{known_section}.{known_field}"))
    });
    scored.filter(|(score, _)| *score >= ALIKE - ELSEWHERE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// The one of `known` that `name` was most likely meant to be.
pub(super) fn nearest_of<'a>(known: &[&'a str], name: &str) -> Option<&'a str> {
    let scored = known.iter().map(|known| (strsim::jaro_winkler(name, known), *known));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// The known section that `name` was most likely meant to be.
pub(super) fn nearest_section(name: &str) -> Option<&'static str> {
    let scored = SECTIONS.iter().map(|section| (strsim::jaro_winkler(name, section.name), section.name));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}
