//! What the show says before and after the timeline.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::account::Account;
use super::demo::{DOMAIN, Story};
use super::engine::Books;
use super::stack::Stack;
use super::timeline::Timeline;
use crate::admin::Printable;
use crate::wire::{OutcomeKind, names};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// What runs where, and what there will be to see.
pub(super) fn welcome(stack: &Stack, stories: &VecDeque<Story>) -> String {
    let settings = &stack.settings;
    let mut text = format!("{BOLD}handback dev{BOLD:#}  broker, engine, bridge and a few services in one process\n\n");
    let mut row = |name, address: &str, what: &str| {
        let _ = writeln!(text, "  {name:<8}  {address:<22}  {DIM}{what}{DIM:#}");
    };
    row("Kafka", &settings.kafka.brokers, "librdkafka's mock cluster; any client can connect");
    row("Cadence", &stack.engine.endpoint(), &format!("embedded development engine, gRPC, domain {DOMAIN:?}"));
    if let Some(admin) = settings.admin.listen {
        row("health", &format!("http://{admin}"), "/readyz /livez /metrics");
    }
    text.push('\n');
    for story in stories {
        let _ = writeln!(text, "  {BOLD}{}{BOLD:#}  {}", story.workflow_id, story.tells);
    }
    let _ = write!(text, "\n{}", Timeline::heading());
    text
}

/// After the demo, when the stack goes on.
pub(super) fn stays_up() -> String {
    format!("\n{BOLD}The stack stays up.{BOLD:#} Ctrl-C ends it.\n\n{}", Timeline::heading())
}

/// The demo in numbers, and whether they add up.
pub(super) fn summary(account: &Account, books: &Books, took: Duration, faults: &[String]) -> String {
    let mut text = format!("\n{BOLD}summary{BOLD:#}  {DIM}{:.1} s{DIM:#}\n\n", took.as_secs_f64());
    let mut row = |name, count: usize, rest: &str| {
        let _ = writeln!(text, "  {name:<13}{count:>4}  {DIM}{rest}{DIM:#}");
    };
    let closed = books.workflows.iter().filter(|workflow| workflow.closed.is_some()).count();
    row("workflows", closed, &format!("of {} closed", books.workflows.len()));
    row("requests", account.requests, "");
    row("replies", account.replies.len(), &format!("{} of them heartbeats without news", account.quiet_heartbeats()));
    let kinds = OutcomeKind::ALL.map(|kind| (kind, account.count(kind)));
    let kinds = kinds.iter().filter(|(_, count)| *count > 0).map(|(kind, count)| format!("{count} {kind}"));
    row("outcomes", account.outcomes.len(), &kinds.collect::<Vec<_>>().join(", "));
    let reasons = account.dead_letters.values().filter_map(|letter| letter.headers.last(names::DLQ_REASON));
    let reasons: Vec<_> = reasons.map(|reason| String::from_utf8_lossy(reason)).collect();
    row("dead letters", account.dead_letters.len(), &Printable(reasons.join(", ")).to_string());
    let ends = account.reaches.iter();
    let ends = ends.map(|reach| format!("{}: {} of {}", reach.partition, reach.committed.unwrap_or(0), reach.end));
    let committed = account.reaches.iter().filter_map(|reach| reach.committed).sum::<i64>();
    row("committed", usize::try_from(committed).unwrap_or(0), &ends.collect::<Vec<_>>().join(", "));
    text.push('\n');
    if faults.is_empty() {
        let _ = write!(
            text,
            "{GOOD}The books agree:{GOOD:#} every reply has its outcome, the engine has each applied answer byte for byte\n\
             under the identity of its record, dead letters are as received, offsets are at the end of the log."
        );
    }
    let faults: Vec<_> =
        faults.iter().map(|fault| format!("{BAD}The books disagree:{BAD:#} {}", Printable(fault))).collect();
    text + &faults.join("\n")
}
