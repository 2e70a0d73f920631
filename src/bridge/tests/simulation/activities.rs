//! The activities of the simulated engine, the replies that answer them, and what is true of both.
//!
//! Twelve activities share the first workflow, four each of the others. Of four the second is asked to stop, and the third may
//! time out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::faults::Fault;
use super::world::World;
use crate::bridge::tests::model::Called;
use crate::bridge::tests::support::{DOMAIN_ID, RUN_ID, completed, reply, rubbish, seconds};
use crate::wire::{Action, ActivityId, Answer, Failure, FailureStyle, Outcome, OutcomeKind, Record, Target, TaskToken};

/// Activities of the domain that is at home.
const AT_HOME: u32 = 24;
const BILLING: std::ops::Range<u32> = 24..28;
const NOWHERE: std::ops::Range<u32> = 28..32;
const STRANGERS: std::ops::Range<u32> = 32..36;

pub(super) const BILLING_ID: &str = "6b2e4d7f-8a70-4e68-8e3d-1e9b4d1c9b22";
pub(super) const NOWHERE_ID: &str = "7c3f5e80-9b81-4f79-9f4e-2fac5e2dac33";

/// Calls that a stubborn activity fails: more than are tried in place, fewer than on all tiers.
const STUBBORN_FOR: usize = 7;
/// How long the engine does not know a late activity: longer than the first tier, shorter than all of them.
const LATE_BY: Duration = seconds(6);
const TIMES_OUT_AFTER: Duration = seconds(7);

/// What dead letters and retries may weigh; a large reply weighs more.
pub(super) const MAX_BYTES: usize = 4_000;

pub(super) fn number(activity: &str) -> u32 {
    activity[1..].parse().unwrap()
}

pub(super) fn workflow(activity: u32) -> u32 {
    (activity / 4).saturating_sub(2)
}

/// The activities of a workflow.
pub(super) fn activities(workflow: u32) -> std::ops::Range<u32> {
    let first = if workflow == 0 { 0 } else { 4 * (workflow + 2) };
    first..4 * (workflow + 3)
}

pub(super) fn schedule_id(activity: u32) -> i64 {
    i64::from(5 + activity)
}

/// Name and id.
pub(super) fn domain(activity: u32) -> (&'static str, &'static str) {
    match activity {
        n if BILLING.contains(&n) => ("billing", BILLING_ID),
        n if NOWHERE.contains(&n) => ("nowhere", NOWHERE_ID),
        _ => ("orders", DOMAIN_ID),
    }
}

pub(super) fn is_stranger(activity: u32) -> bool {
    STRANGERS.contains(&activity)
}

pub(super) fn is_nowhere(activity: u32) -> bool {
    NOWHERE.contains(&activity)
}

pub(super) fn is_asked_to_stop(activity: u32) -> bool {
    activity % 4 == 1
}

/// What closed an activity.
#[derive(Clone)]
pub(super) enum Closed {
    By(Box<Called>),
    TimedOut,
}

/// What the engine knows.
#[derive(Default)]
pub(super) struct Truth {
    closed: RefCell<BTreeMap<u32, Closed>>,
    failed: RefCell<BTreeMap<u32, usize>>,
}

impl Truth {
    pub(super) fn time_out(&self, activity: u32) {
        self.closed.borrow_mut().insert(activity, Closed::TimedOut);
    }

    pub(super) fn closed(&self, activity: u32) -> Option<Closed> {
        self.closed.borrow().get(&activity).cloned()
    }

    /// Whether this is what closes the activity.
    pub(super) fn close(&self, called: &Called) -> bool {
        let mut closed = self.closed.borrow_mut();
        let activity = number(&called.activity);
        let free = !closed.contains_key(&activity);
        closed.entry(activity).or_insert_with(|| Closed::By(Box::new(called.clone())));
        free
    }

    /// Failed calls and looks for an activity so far, this one included.
    pub(super) fn fail(&self, activity: u32) -> usize {
        let mut failed = self.failed.borrow_mut();
        *failed.entry(activity).and_modify(|count| *count += 1).or_insert(1)
    }

    fn failures(&self, activity: u32) -> usize {
        self.failed.borrow().get(&activity).copied().unwrap_or(0)
    }

    /// All of it, to tell whether two schedules have come to the same.
    pub(super) fn state(&self) -> String {
        let closed = self.closed.borrow();
        let by = closed.iter().map(|(n, by)| match by {
            Closed::By(called) => format!("{n} {}", called.identity),
            Closed::TimedOut => format!("{n} timed out"),
        });
        format!("{:?} {:?}", by.collect::<Vec<_>>(), self.failed.borrow())
    }
}

impl World {
    pub(super) fn is_unknown(&self, activity: u32) -> bool {
        let late = self.menu.has(Fault::Late) && activity % 8 == 7 && self.age() < LATE_BY;
        is_stranger(activity) || late
    }

    /// Whether this call is one of those that a stubborn activity fails.
    pub(super) fn is_stubborn(&self, activity: u32) -> bool {
        self.menu.has(Fault::Stubborn) && activity % 6 == 5 && self.truth.failures(activity) < STUBBORN_FOR
    }

    /// Activities that are open, known and not asked to stop.
    pub(super) fn answered_wrongly(&self) -> impl Iterator<Item = u32> {
        (0..AT_HOME).filter(|n| !is_asked_to_stop(*n) && !self.is_unknown(*n) && self.truth.closed(*n).is_none())
    }

    /// Closes what has run out of time.
    pub(super) fn time_out(&self) {
        if self.menu.has(Fault::TimesOut) && self.age() >= TIMES_OUT_AFTER {
            let mut closed = self.truth.closed.borrow_mut();
            for n in (0..AT_HOME).filter(|n| n % 4 == 2) {
                closed.entry(n).or_insert(Closed::TimedOut);
            }
        }
    }

    /// Each outcome is true, at the time at which it is written.
    pub(super) fn check_truth(&self, outcomes: &[Outcome]) {
        for outcome in &outcomes[self.looked_at.replace(outcomes.len()).min(outcomes.len())..] {
            if let Some(why) = self.untrue(outcome) {
                self.story.broke("what an outcome says is what the engine has", || {
                    format!("{}: {:?} {:?} {:?}: {why}", outcome.source, outcome.kind, outcome.reason, outcome.detail)
                });
            }
        }
    }

    fn untrue(&self, outcome: &Outcome) -> Option<String> {
        let id = outcome.activity.as_ref().and_then(|activity| activity.activity_id.clone());
        let (Some(id), Some(fingerprint)) = (id, outcome.fingerprint) else { return None };
        // A heartbeat is no answer.
        if outcome.action == Some(Action::Heartbeat) {
            return None;
        }
        let activity = number(&id);
        let closed = self.truth.closed(activity);
        let by = match &closed {
            Some(Closed::By(called)) => Some(&called.identity),
            _ => None,
        };
        let ours = by.is_some_and(|by| by.ends_with(&format!("{}/{fingerprint}", outcome.source)));
        let same = by.is_some_and(|by| by.ends_with(&fingerprint.to_string()));
        let reason = outcome.reason.as_deref().unwrap_or_default();
        let detail = outcome.detail.as_deref().unwrap_or_default();
        let right = match outcome.kind {
            OutcomeKind::Applied => ours,
            OutcomeKind::Duplicate => same && !ours,
            OutcomeKind::Conflict => by.is_some() && !same,
            OutcomeKind::TimedOut => matches!(closed, Some(Closed::TimedOut)),
            OutcomeKind::Unknown => is_stranger(activity),
            // Never because nobody looked.
            OutcomeKind::NotFound => {
                detail.contains("the look-up failed")
                    || detail.contains("more look-ups waited")
                    || detail.contains("the event that says how does not show")
            }
            OutcomeKind::Exhausted => {
                let failed = self.truth.failures(activity) >= 5 || detail.contains("too many others waited");
                let early = detail.contains("has not begun");
                failed || early || self.menu.has(Fault::Large) || domain(activity).0 != "orders"
            }
            OutcomeKind::Rejected => match reason {
                "internal_error" => self.menu.has(Fault::Panic),
                "domain_not_allowed" => self.menu.has(Fault::AllowList) && domain(activity).0 != "orders",
                "cancel_not_requested" => outcome.action == Some(Action::Cancel) && !is_asked_to_stop(activity),
                _ => false,
            },
            OutcomeKind::Superseded | OutcomeKind::WorkflowClosed => false,
        };
        (!right).then(|| match &closed {
            Some(Closed::By(called)) => format!("{id} was closed by {}", called.identity),
            Some(Closed::TimedOut) => format!("{id} timed out"),
            None => format!("{id} is open"),
        })
    }

    /// Some reply.
    pub(super) fn reply(&self) -> Record {
        let others = [(Fault::Domain, BILLING), (Fault::Nowhere, NOWHERE), (Fault::Strangers, STRANGERS)];
        let others = others.into_iter().filter(|(fault, _)| self.menu.has(*fault)).map(|(_, range)| range);
        let mut activities: Vec<u32> = (0..AT_HOME).collect();
        activities.extend(others.flatten());
        let activity = activities[self.choices.below(activities.len())];
        let menu = &self.menu;
        let odd = [menu.weight(Fault::Rubbish, 15), menu.weight(Fault::Large, 10), menu.weight(Fault::Future, 8)];
        let weights = [40, 10, 15, 10, 10, 10].into_iter().chain(odd);
        let kinds: Vec<(usize, u32)> = weights.enumerate().filter(|(_, weight)| *weight > 0).collect();
        let weights: Vec<u32> = kinds.iter().map(|(_, weight)| *weight).collect();
        match kinds[self.choices.weighed(&weights)].0 {
            0 => reply(token(activity), completed()),
            1 => reply(token(activity), failed()),
            2 => reply(token(activity), Answer::Heartbeat { details: None }),
            3 => reply(named(activity, Some(0)), completed()),
            4 => reply(named(activity, None), completed()),
            5 => reply(token(activity), Answer::Cancel { details: None }),
            6 => rubbish(b"{\"task_token\": 1}"),
            7 => reply(token(activity), Answer::Complete { result: Some(large(activity)) }),
            _ => reply(named(activity, Some(1)), completed()),
        }
    }
}

fn large(activity: u32) -> Bytes {
    Bytes::from(format!("\"{}\"", format!("{activity}").repeat(MAX_BYTES / 2 + 1)))
}

fn failed() -> Answer {
    let reason = "CardDeclined".to_owned();
    Answer::Fail(Failure { reason, message: None, details: None, style: FailureStyle::Custom })
}

/// A task token as the engine writes it.
pub(super) fn token(activity: u32) -> Target {
    let (workflow, schedule_id, (_, domain_id)) = (workflow(activity), schedule_id(activity), domain(activity));
    let token = format!(
        r#"{{"domainId":"{domain_id}","workflowId":"w{workflow}","runId":"{RUN_ID}","scheduleId":{schedule_id},"scheduleAttempt":0,"activityId":"a{activity}","activityType":"Charge","workflowType":"Order"}}"#
    );
    Target::Token(TaskToken::check(Bytes::from(token)).unwrap())
}

pub(super) fn named(activity: u32, attempt: Option<i64>) -> Target {
    Target::ById(ActivityId {
        domain: domain(activity).0.to_owned(),
        workflow_id: format!("w{}", workflow(activity)),
        run_id: RUN_ID.to_owned(),
        activity_id: format!("a{activity}"),
        attempt,
    })
}
