//! Outcomes that are read back: `Outcome::parse`.

use handback::wire::Outcome;

use super::{fit_for_people, measured, read_back};

/// How many times its size an outcome may cost: each text once, those with escapes once more, in buffers that grow.
const TIMES: usize = 5;

pub(crate) fn check(value: &[u8]) {
    let outcome = match measured(value.len(), TIMES, || Outcome::parse(value)) {
        Ok(outcome) => outcome,
        Err(fault) => return fit_for_people(&fault.to_string()),
    };
    assert!(super::is_object(value), "only an object is an outcome");
    let object = |raw: &serde_json::value::RawValue| super::is_object(raw.get().as_bytes());
    assert!(outcome.metadata.as_deref().is_none_or(object), "metadata is an object");
    read_back::outcome_is_read_back(&outcome);
}
