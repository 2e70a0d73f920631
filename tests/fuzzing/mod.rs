//! What must hold for any bytes at all: one entry point for each decoder, called by `cargo test` (see
//! `tests/integration/fuzzing.rs`) and by cargo-fuzz (see `fuzz/README.md`).
//!
//! An entry point takes bytes, makes of them what its decoder reads, and panics when a promise does not hold. It uses the
//! public types alone, so that nothing has to be opened for it.

mod memory;
mod text;

mod message;
mod outcome;
mod read_back;
mod reply;
mod request;
mod retry;
mod settings;
mod token;

#[allow(unused_imports, reason = "the tests of the harness itself use it")]
pub(crate) use memory::measured;
#[allow(unused_imports, reason = "the tests of the harness itself use it")]
pub(crate) use text::record;

/// One decoder.
pub(crate) struct Target {
    /// Name of its binary, of its corpus and in messages.
    pub(crate) name: &'static str,
    /// Reads any bytes, panics when a promise does not hold.
    pub(crate) check: fn(&[u8]),
}

/// Every decoder. A new one needs a line here, and what `fuzz/README.md` says; a test tells what is missing.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "envelope", check: reply::envelope },
    Target { name: "headers", check: reply::headers },
    Target { name: "message", check: message::check },
    Target { name: "token", check: token::check },
    Target { name: "request", check: request::check },
    Target { name: "outcome", check: outcome::check },
    Target { name: "read_back", check: read_back::check },
    Target { name: "retry", check: retry::check },
    Target { name: "settings", check: settings::check },
];

/// Runs the entry point of this name; panics when there is none.
#[allow(dead_code, reason = "cargo-fuzz's binaries call it, and the tests walk the list")]
pub(crate) fn run(name: &str, bytes: &[u8]) {
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else { panic!("no target {name}") };
    (target.check)(bytes);
}

/// Text that nothing for people may show. It is in the dictionary, so that it gets to every place; and it is no name that
/// a message could quote, because of its last letter.
pub(crate) const SECRET: &str = "hush!";

/// Checks a text for people: something is said, in one line, in few words, and without the secret.
#[track_caller]
fn fit_for_people(text: &str) {
    assert!(!text.is_empty() && text.len() <= 400, "{} bytes: {text}", text.len());
    assert!(!text.contains(char::is_control), "more than a line: {text:?}");
    assert!(!text.contains(SECRET), "shows a secret: {text}");
}

/// Whether a text begins as an object of JSON does.
fn is_object(text: &[u8]) -> bool {
    text.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) == Some(&b'{')
}
