//! Findings on the terminal: aligned, in colour only where somebody sees it, and texts of others as they can be printed.

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::admin::Printable;

/// A line on standard output. A reader that has seen enough (`handback settings | head`) is no reason to panic.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(anstream::stdout(), $($text)*);
    }};
}

pub(super) use say;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Works, but not as promised or not for long.
    Warn,
    /// Does not work.
    Fault,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fault => "FAULT",
        }
    }

    pub(super) fn style(self) -> Style {
        let colour = match self {
            Self::Ok => AnsiColor::Green,
            Self::Warn => AnsiColor::Yellow,
            Self::Fault => AnsiColor::Red,
        };
        colour.on_default().bold()
    }
}

/// What stands back: unchanged settings, hints.
pub(super) const DIM: Style = Style::new().dimmed();

/// What stands out.
pub(super) const BOLD: Style = Style::new().bold();

/// Width of the subject: the longest default topic name and some.
const SUBJECT: usize = 30;

/// One finding.
pub(super) fn line(level: Level, subject: &str, what: &str) {
    let style = level.style();
    let (subject, what) = (Printable(subject).to_string(), Printable(what));
    say!("  {style}{:<5}{style:#}  {subject:<SUBJECT$}  {what}", level.word());
}

/// What to do about the finding above.
pub(super) fn fix(advice: &str) {
    say!("  {:5}  {:SUBJECT$}  {DIM}-> {}{DIM:#}", "", "", Printable(advice));
}

/// A heading.
pub(super) fn heading(text: &str) {
    say!("{BOLD}{text}{BOLD:#}");
}

/// `1 replica`, `3 replicas`.
pub(super) fn plural(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
