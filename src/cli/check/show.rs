//! The report: for people, or as JSON.

use serde_json::json;

use super::Level;
use super::finding::Finding;
use crate::admin::{Printable, in_json};
use crate::cli::paint::say;
use crate::cli::paint::{self, BOLD, DIM, plural};
use crate::config::Settings;

/// The settings in effect; what differs from the defaults stands out.
pub(super) fn settings(settings: &Settings) {
    paint::heading("Settings in effect");
    let defaults = Settings::default().to_toml();
    let mut default_lines = Sectioned::new(&defaults);
    for line in settings.to_toml().lines().filter(|line| !line.is_empty()) {
        let shown = Printable(line);
        if line.starts_with('[') {
            default_lines.enter(line);
            say!("  {shown}");
        } else if default_lines.has(line) {
            say!("  {DIM}{shown}{DIM:#}");
        } else {
            say!("  {BOLD}{shown}{BOLD:#}");
        }
    }
    say!();
}

/// The lines of a TOML text, section by section.
struct Sectioned<'a> {
    text: &'a str,
    section: String,
}

impl<'a> Sectioned<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, section: String::new() }
    }

    fn enter(&mut self, section: &str) {
        section.clone_into(&mut self.section);
    }

    fn has(&self, line: &str) -> bool {
        let mut lines = self.text.lines().skip_while(|l| *l != self.section).skip(1);
        lines.by_ref().take_while(|l| !l.starts_with('[')).any(|l| l == line)
    }
}

/// The findings by area, and their sum.
pub(super) fn findings(findings: &[Finding]) {
    let mut area = None;
    for finding in findings {
        if area.replace(finding.area) != Some(finding.area) {
            paint::heading(finding.area.as_str());
        }
        paint::line(finding.level, &finding.subject, &finding.what);
        if let Some(fix) = &finding.fix {
            paint::fix(fix);
        }
    }
    let (worst, sum) = summary(findings);
    let style = worst.style();
    say!("\n{style}{sum}{style:#}");
}

/// Everything as one object on one line.
pub(super) fn json(settings: &Settings, findings: &[Finding]) {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let report = json!({
        "settings": settings,
        "findings": findings,
        "summary": {"ok": count(Level::Ok), "warn": count(Level::Warn), "fault": count(Level::Fault)},
    });
    say!("{}", in_json(&report.to_string()));
}

fn summary(findings: &[Finding]) -> (Level, String) {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (fine, warnings, faults) = (count(Level::Ok), count(Level::Warn), count(Level::Fault));
    match (faults, warnings) {
        (0, 0) => (Level::Ok, format!("all {fine} as they should be")),
        (0, _) => (Level::Warn, format!("{}, {fine} fine", plural(warnings, "warning"))),
        _ => (Level::Fault, format!("{}, {}, {fine} fine", plural(faults, "fault"), plural(warnings, "warning"))),
    }
}
