//! The timeline: what was seen on the topics, a line for each thing, for people.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Effects, Style};

use super::observer::{Reach, Sighting, What};
use crate::admin::Printable;
use crate::wire::{
    self, ActivityRef, Answer, Input, Limits, Origin, Outcome, OutcomeKind, Record, Refusal, Reply, Request, names,
    source_of,
};

/// Columns of a line; terminals are seldom narrower.
const WIDTH: usize = 100;

/// Columns of the parts before the text.
const WHAT: usize = 11;
const WORKFLOW: usize = 10;
const ACTIVITY: usize = 12;

/// Where the text begins.
const INDENT: usize = 8 + 2 + 2 + WHAT + 1 + WORKFLOW + 1 + ACTIVITY + 2;

/// Replies and activities whose names are remembered: far more than are under way at once.
const REMEMBERED: usize = 10_000;

const DIM: Style = Style::new().effects(Effects::DIMMED);
const BOLD: Style = Style::new().bold();
const REQUEST: Style = AnsiColor::Blue.on_default();
const REPLY: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const ODD: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Writes lines; remembers what was said so that nothing is said twice.
pub(super) struct Timeline {
    began_ms: i64,
    committed: Vec<Option<i64>>,
    /// Activity types by run and activity id: a reply by id does not say the type.
    types: BTreeMap<(String, String), String>,
    /// Workflow and activity of replies: an outcome of one that cannot be read names neither.
    subjects: BTreeMap<(i32, i64), (String, String)>,
}

/// One line before its layout.
struct Line<'a> {
    at_ms: i64,
    symbol: char,
    style: Style,
    what: &'a str,
    workflow: &'a str,
    activity: &'a str,
    /// What goes after the columns, row by row.
    rows: Vec<String>,
}

impl Timeline {
    /// A timeline whose seconds count from `began_ms`, in milliseconds since the epoch.
    pub(super) fn new(began_ms: i64) -> Self {
        Self { began_ms, committed: Vec::new(), types: BTreeMap::new(), subjects: BTreeMap::new() }
    }

    /// The headings of the columns.
    pub(super) fn heading() -> String {
        let names = format!("{:>8}    {:WHAT$} {:WORKFLOW$} {:ACTIVITY$}  ", "seconds", "what", "workflow", "activity");
        format!("{DIM}{names}where and how{DIM:#}")
    }

    /// The lines for what was seen; often one, for offsets that did not move none.
    pub(super) fn tell(&mut self, sighting: &Sighting) -> Option<String> {
        let at_ms = sighting.at_ms;
        match &sighting.what {
            What::Request(origin, request) => Some(self.request(at_ms, origin, request.as_deref())),
            What::Reply(record, reply) => Some(self.reply(at_ms, record, reply)),
            What::Outcome(outcome) => Some(self.outcome(at_ms, outcome)),
            What::DeadLetter(record) => Some(self.dead_letter(at_ms, record)),
            What::Closed(workflow, how) => Some(self.closed(at_ms, workflow, how)),
            What::Offsets(reaches) => self.offsets(at_ms, reaches),
        }
    }

    fn closed(&self, at_ms: i64, workflow: &str, how: &str) -> String {
        let text = format!("the workflow is {how}");
        self.lay_out(&Line {
            at_ms,
            symbol: '■',
            style: BOLD,
            what: "closed",
            workflow,
            activity: "",
            rows: vec![text],
        })
    }

    fn request(&mut self, at_ms: i64, origin: &Origin, request: Option<&Request>) -> String {
        let activity = request.and_then(|request| request.activity.as_ref());
        let mut text = origin.to_string();
        if let Some(activity) = activity {
            let id = (activity.run_id.clone(), activity.activity_id.clone());
            remember(&mut self.types, id, activity.activity_type.clone());
            if activity.attempt > 0 {
                let _ = write!(text, "  attempt {}", activity.attempt);
            }
        }
        if let Some(Input::Json(arguments)) = request.and_then(|request| request.input.as_ref()) {
            let arguments: Vec<_> = arguments.iter().map(|argument| glimpse(argument.get().as_bytes())).collect();
            let _ = write!(text, "  {}", arguments.join(" "));
        }
        let rows = vec![one_row(&text)];
        self.lay_out(&Line {
            at_ms,
            symbol: '→',
            style: REQUEST,
            what: "request",
            workflow: activity.map_or("?", |activity| &activity.workflow_id),
            activity: activity.map_or("?", |activity| &activity.activity_type),
            rows,
        })
    }

    fn reply(&mut self, at_ms: i64, record: &Record, reply: &Result<Box<Reply>, Box<Refusal>>) -> String {
        let (activity, said) = match reply {
            Ok(reply) => (Some(reply.target.activity()), says(&reply.answer)),
            Err(refusal) => (refusal.activity.clone(), "not a reply that can be read".to_owned()),
        };
        let (workflow, activity) = self.subject(activity.as_ref(), record.key.as_deref());
        remember(&mut self.subjects, source(&record.origin), (workflow.clone(), activity.clone()));
        let text = format!("{}  {said}", record.origin);
        let (workflow, activity, rows) = (&*workflow, &*activity, vec![one_row(&text)]);
        self.lay_out(&Line { at_ms, symbol: '←', style: REPLY, what: "reply", workflow, activity, rows })
    }

    fn outcome(&self, at_ms: i64, outcome: &Outcome) -> String {
        let (workflow, activity) = match self.subjects.get(&source(&outcome.source)) {
            Some(subject) => subject.clone(),
            None => self.subject(outcome.activity.as_ref(), None),
        };
        let (workflow, activity) = (&*workflow, &*activity);
        let (symbol, style) = match outcome.kind {
            OutcomeKind::Applied => ('✓', GOOD),
            OutcomeKind::Rejected | OutcomeKind::Exhausted => ('✗', BAD),
            _ => ('!', ODD),
        };
        let since = outcome.source.timestamp_ms.map_or(0, |written| (outcome.settled_at_ms - written).max(0));
        let mut text = outcome.source.to_string();
        let _ = match outcome.attempts {
            0 => write!(text, "  after {since} ms, no call"),
            1 => write!(text, "  after {since} ms"),
            calls => write!(text, "  after {since} ms, {calls} calls"),
        };
        if outcome.cancel_requested {
            text.push_str("  cancel requested");
        }
        self.lay_out(&Line { at_ms, symbol, style, what: outcome.kind.as_str(), workflow, activity, rows: vec![text] })
    }

    fn dead_letter(&self, at_ms: i64, record: &Record) -> String {
        let header = |name| record.headers.last(name).map_or(Cow::Borrowed(""), |text| String::from_utf8_lossy(text));
        let source = source_of(&record.headers).map_or_else(|| "?".to_owned(), |source| source.to_string());
        let activity = match wire::decode(record, &Limits::default()) {
            Ok(reply) => Some(reply.target.activity()),
            Err(refusal) => refusal.activity,
        };
        let (workflow, activity) = self.subject(activity.as_ref(), record.key.as_deref());
        let (workflow, activity) = (&*workflow, &*activity);
        let rows = vec![format!("{source}  {}", header(names::DLQ_REASON)), header(names::DLQ_DETAIL).into_owned()];
        self.lay_out(&Line { at_ms, symbol: '†', style: BAD, what: "dead letter", workflow, activity, rows })
    }

    /// Workflow and activity as people know them. The record's key helps out when the reply itself names no workflow.
    fn subject(&self, activity: Option<&ActivityRef>, key: Option<&[u8]>) -> (String, String) {
        let by_key = || std::str::from_utf8(key?).ok()?.split_once('/').map(|(_, workflow)| workflow);
        let known = |of: &ActivityRef| {
            let by_id = self.types.get(&(of.run_id.clone()?, of.activity_id.clone()?)).cloned();
            of.activity_type.clone().or(by_id).or_else(|| of.activity_id.clone())
        };
        let workflow = activity.and_then(|of| of.workflow_id.as_deref()).or_else(by_key);
        let name = activity.and_then(known);
        (workflow.unwrap_or("?").to_owned(), name.unwrap_or_else(|| "?".to_owned()))
    }

    fn offsets(&mut self, at_ms: i64, reaches: &[Reach]) -> Option<String> {
        let now: Vec<_> = reaches.iter().map(|reach| reach.committed).collect();
        let before = std::mem::replace(&mut self.committed, now);
        let moved = reaches.iter().enumerate().filter_map(|(place, reach)| {
            let offset = reach.committed.filter(|offset| before.get(place) != Some(&Some(*offset)))?;
            Some(format!("{}: {offset} of {}", reach.partition, reach.end))
        });
        let rows = vec![moved.collect::<Vec<_>>().join(", ")];
        let line = Line { at_ms, symbol: '·', style: DIM, what: "committed", workflow: "", activity: "", rows };
        (!line.rows[0].is_empty()).then(|| self.lay_out(&line))
    }

    /// Columns first, then the text; what does not fit goes on below.
    fn lay_out(&self, line: &Line<'_>) -> String {
        let Line { at_ms, symbol, style, what, workflow, activity, rows } = line;
        let seconds = (at_ms - self.began_ms).max(0) as f64 / 1000.0;
        let what = fit(what, WHAT);
        let (workflow, activity) = (Printable(workflow).to_string(), Printable(activity).to_string());
        let (workflow, activity) = (fit(&workflow, WORKFLOW), fit(&activity, ACTIVITY));
        let mut out = format!(
            "{DIM}{seconds:>8.3}{DIM:#}  {style}{symbol} {what:WHAT$}{style:#} {BOLD}{workflow:WORKFLOW$}{BOLD:#} {activity:ACTIVITY$}  "
        );
        let quiet = if *symbol == '·' { DIM } else { Style::new() };
        let rows = rows.iter().map(|row| Printable(row).to_string());
        let mut rows = rows.flat_map(|row| wrap(&row, WIDTH - INDENT));
        let first = rows.next().unwrap_or_default();
        let _ = write!(out, "{quiet}{first}{quiet:#}");
        for row in rows {
            let _ = write!(out, "\n{:INDENT$}{DIM}{row}{DIM:#}", "");
        }
        out
    }
}

fn source(origin: &Origin) -> (i32, i64) {
    (origin.partition, origin.offset)
}

/// Remembers, but not for ever: the stack may be up for days.
fn remember<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) {
    if map.len() >= REMEMBERED {
        map.clear();
    }
    map.insert(key, value);
}

/// An answer in a few words.
fn says(answer: &Answer) -> String {
    let (word, payload) = match answer {
        Answer::Complete { result } => ("complete".to_owned(), result),
        Answer::Cancel { details } => ("cancel".to_owned(), details),
        Answer::Heartbeat { details } => ("heartbeat".to_owned(), details),
        Answer::Fail(failure) => (format!("fail {}", failure.reason), &failure.details),
    };
    match payload {
        Some(payload) => format!("{word} {}", glimpse(payload)),
        None => word,
    }
}

/// The beginning of a payload. Whoever puts a token into a result shall not find it on the terminal: anything that looks
/// like the beginning of one, plain or in base64, is told by its size only.
fn glimpse(payload: &[u8]) -> String {
    const LONGEST: usize = 40;
    let text = std::str::from_utf8(payload).unwrap_or_default();
    let secret = ["eyJ", "omainI", "orkflowI"].iter().any(|mark| text.contains(mark));
    if text.is_empty() || secret || text.chars().any(char::is_control) {
        return format!("({} bytes)", payload.len());
    }
    fit(text, LONGEST).into_owned()
}

/// Text of others as one row.
fn one_row(text: &str) -> String {
    fit(&Printable(text).to_string(), WIDTH - INDENT).into_owned()
}

/// Text cut to `width` columns.
fn fit(text: &str, width: usize) -> Cow<'_, str> {
    if text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(width - 1).collect();
    Cow::Owned(kept + "…")
}

/// Text broken at spaces into rows of at most `width` columns; words longer than that are broken too.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        if used > 0 && used + word.trim_end().chars().count() > width {
            rows.push(String::new());
            used = 0;
        }
        for letter in word.chars() {
            if used == width {
                if letter == ' ' {
                    continue;
                }
                rows.push(String::new());
                used = 0;
            }
            if let Some(row) = rows.last_mut() {
                row.push(letter);
            }
            used += 1;
        }
    }
    rows.iter_mut().for_each(|row| row.truncate(row.trim_end().len()));
    rows.retain(|row| !row.is_empty());
    rows
}
