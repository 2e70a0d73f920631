//! What a probe expects, and the record of what was seen.

use std::fmt;
use std::sync::{Arc, Mutex};

use tonic::Code;

use super::call::{Seen, Shape};

/// An answer as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Expect {
    pub(crate) code: Code,
    /// The text; `*` stands for ids and other things that differ from run to run.
    pub(crate) text: String,
    /// Type of the first detail.
    pub(crate) detail: Option<&'static str>,
    pub(crate) shape: Shape,
    /// Whether `DEADLINE_EXCEEDED` will do as well.
    pub(crate) or_deadline: bool,
}

impl Expect {
    pub(crate) fn ok() -> Expect {
        Expect { code: Code::Ok, text: String::new(), detail: None, shape: Shape::Message, or_deadline: false }
    }

    /// An application error without a detail.
    pub(crate) fn plain(code: Code, text: impl Into<String>) -> Expect {
        Expect { code, text: text.into(), ..Expect::ok() }
    }

    /// `INVALID_ARGUMENT` without a detail, which is how a `BadRequestError` looks.
    pub(crate) fn bad(text: impl Into<String>) -> Expect {
        Expect::plain(Code::InvalidArgument, text)
    }

    pub(crate) fn typed(code: Code, text: impl Into<String>, detail: &'static str) -> Expect {
        Expect { detail: Some(detail), ..Expect::plain(code, text) }
    }

    pub(crate) fn not_exists(text: impl Into<String>) -> Expect {
        Expect::typed(Code::NotFound, text, "EntityNotExistsError")
    }

    /// The answer for an activity, or an attempt of one, that is not there to be answered for.
    pub(crate) fn no_such_task() -> Expect {
        Expect::not_exists("activity task not found")
    }

    /// The same, when the activity was named by its id.
    pub(crate) fn no_such_id() -> Expect {
        Expect::bad("Cannot locate Activity ScheduleID")
    }

    pub(crate) fn workflow_closed() -> Expect {
        Expect::not_exists("Workflow execution already completed.")
    }

    /// An error of the RPC layer, before the call was accepted.
    pub(crate) fn door(code: Code, text: impl Into<String>) -> Expect {
        Expect { shape: Shape::TrailersOnly, ..Expect::plain(code, text) }
    }

    /// The deadline passes, or comes so close that the server gives up just before it and says this.
    pub(crate) fn or_deadline(self) -> Expect {
        Expect { or_deadline: true, ..self }
    }

    fn fits(&self, seen: &Seen) -> bool {
        if self.or_deadline && seen.code == Code::DeadlineExceeded as i32 {
            return true;
        }
        self.code as i32 == seen.code
            && like(&self.text, &seen.message)
            && self.detail == seen.detail.as_deref()
            && self.shape == seen.shape
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.or_deadline {
            f.write_str("DeadlineExceeded, or ")?;
        }
        write!(f, "{:?} {:?}, detail {}, {:?}", self.code, self.text, self.detail.unwrap_or("none"), self.shape)
    }
}

/// Whether `text` is `pattern`, in which `*` stands for anything.
fn like(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(place) = left.find(piece) else { return false };
        left = &left[place + piece.len()..];
    }
    left.ends_with(last)
}

/// One probe's outcome.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) probe: String,
    pub(crate) expected: String,
    pub(crate) seen: String,
    pub(crate) passed: bool,
}

/// Collects verdicts; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report(Arc<Mutex<Vec<Verdict>>>);

impl Report {
    /// A probe of an answer.
    pub(crate) fn answer(&self, probe: impl Into<String>, expected: &Expect, seen: &Seen) {
        self.add(probe.into(), expected.to_string(), seen.to_string(), expected.fits(seen));
    }

    /// A probe of a value.
    pub(crate) fn same<T: PartialEq + fmt::Debug>(&self, probe: impl Into<String>, expected: T, seen: T) {
        let passed = expected == seen;
        self.add(probe.into(), format!("{expected:?}"), format!("{seen:?}"), passed);
    }

    /// A probe that could not be made.
    pub(crate) fn unmade(&self, probe: impl Into<String>, why: String) {
        self.add(probe.into(), "the situation".to_owned(), why, false);
    }

    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        self.0.lock().expect("no probe panics while it reports").clone()
    }

    fn add(&self, probe: String, expected: String, seen: String, passed: bool) {
        let verdict = Verdict { probe, expected, seen, passed };
        self.0.lock().expect("no probe panics while it reports").push(verdict);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &str| text.chars().take(400).collect::<String>();
        match self.passed {
            true => write!(f, "ok    {}: {}", self.probe, short(&self.seen)),
            false => {
                write!(
                    f,
                    "WRONG {}\n        expected {}\n        seen     {}",
                    self.probe,
                    self.expected,
                    short(&self.seen)
                )
            }
        }
    }
}
