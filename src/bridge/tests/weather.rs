//! The weather of the simulation: an engine that remembers what it took, and bad times for it and for the log.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use fastrand::Rng;
use tokio::time::Instant;

use super::books::{Act, permanent, transient};
use super::model::{Called, Step, busy, not_active, not_found, odd, open, unavailable, unknown_domain};
use super::support::{by_id, complete, completed, fail, heartbeat, millis, reply, rubbish, seconds};
use crate::bridge::seams::{CallError, Verdict};
use crate::bridge::sight::{Closing, Content, History, Past, PendingState, Sight, WorkflowSight};
use crate::wire::{Action, Outcome, OutcomeKind, Record, Target};

/// Activities that the schedules answer.
const ACTIVITIES: u32 = 25;

/// Calls that a stubborn activity fails: more than are tried in place.
const STUBBORN_FOR: usize = 7;

/// How long the engine does not know a late activity: longer than the first tiers, shorter than all of them.
const LATE_BY: std::time::Duration = seconds(5);

fn number(activity: &str) -> u32 {
    activity[1..].parse().unwrap()
}

/// Its calls fail for a time, whatever the weather.
fn is_stubborn(activity: &str) -> bool {
    number(activity) % 6 == 5
}

/// The engine comes to know it late.
fn is_late(activity: &str) -> bool {
    number(activity) % 8 == 7
}

/// An engine that remembers what it took, and has bad times.
pub(super) struct Weather {
    pub(super) rng: RefCell<Rng>,
    /// What closed each activity: the truth that every outcome is held against.
    applied: RefCell<HashMap<String, Called>>,
    /// Outcomes looked at so far.
    looked_at: Cell<usize>,
    pub(super) down: Cell<bool>,
    pub(super) calm: Cell<bool>,
    began: Instant,
    failed: RefCell<HashMap<String, usize>>,
}

impl Weather {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: RefCell::new(Rng::with_seed(seed)),
            applied: RefCell::default(),
            looked_at: Cell::new(0),
            down: Cell::new(false),
            calm: Cell::new(false),
            began: Instant::now(),
            failed: RefCell::default(),
        }
    }

    fn is_unknown(&self, activity: &str) -> bool {
        is_late(activity) && self.began.elapsed() < LATE_BY
    }

    /// Whether this call is one of those that a stubborn activity fails.
    fn fails(&self, activity: &str) -> bool {
        let mut failed = self.failed.borrow_mut();
        let count = failed.entry(activity.to_owned()).or_default();
        *count += 1;
        is_stubborn(activity) && *count <= STUBBORN_FOR
    }

    pub(super) fn chance(&self, percent: u32) -> bool {
        self.rng.borrow_mut().u32(0..100) < percent
    }

    pub(super) fn millis(&self, most: u64) -> std::time::Duration {
        millis(self.rng.borrow_mut().u64(0..most))
    }

    /// Each outcome is true, at the time at which it is written.
    pub(super) fn check(&self, outcomes: &[Outcome]) {
        for outcome in &outcomes[self.looked_at.replace(outcomes.len())..] {
            check_truth(outcome, &self.applied.borrow());
        }
    }

    /// Takes the first answer to an activity.
    fn take(&self, called: &Called) -> Step {
        let open = match called.action {
            Action::Heartbeat => !self.applied.borrow().contains_key(&called.activity),
            _ => self.close(called),
        };
        match called.action {
            _ if !open => not_found(),
            Action::Heartbeat if self.chance(30) => Step::CancelRequested,
            _ => Step::Ok,
        }
    }

    /// Whether this is what closes the activity.
    fn close(&self, called: &Called) -> bool {
        let mut applied = self.applied.borrow_mut();
        let free = !applied.contains_key(&called.activity);
        applied.entry(called.activity.clone()).or_insert_with(|| called.clone());
        free
    }

    /// What a look shows: now and then nothing, or what decides still runs and hides the event.
    pub(super) fn look(&self, target: &Target) -> Result<Sight, CallError> {
        let activity = match target {
            Target::Token(token) => token.claims().activity_id,
            Target::ById(id) => &id.activity_id,
        };
        if !self.calm.get() && (self.down.get() || self.chance(20)) {
            let message = "history is down".to_owned();
            return Err(CallError { verdict: Verdict::Transient { busy: false }, status: "UNAVAILABLE", message });
        }
        if self.is_unknown(activity) {
            return Ok(Sight::Nothing);
        }
        let applied = self.applied.borrow();
        let Some(called) = applied.get(activity) else { return Ok(open(activity, 0, PendingState::Started)) };
        let closing = (self.calm.get() || self.chance(70)).then(|| Closing::Answered {
            action: called.action,
            content: Content::completed(called.payload.clone()),
            identity: called.identity.clone(),
        });
        let activity_id = activity.to_owned();
        let past = Past { schedule_id: 5, activity_id, attempt: Some(0), last_failure: None, closing };
        let history = Some(History { activities: vec![past], cut_short: None });
        Ok(Sight::Workflow(WorkflowSight { history, ..WorkflowSight::default() }))
    }

    pub(super) fn engine(&self, called: &Called) -> Step {
        if self.is_unknown(&called.activity) {
            return not_found();
        }
        if self.fails(&called.activity) {
            return unavailable();
        }
        if self.calm.get() {
            return self.take(called);
        }
        if self.down.get() {
            return Step::after(self.millis(200), unavailable());
        }
        let step = match self.rng.borrow_mut().u32(0..100) {
            0..10 => unavailable(),
            10..14 => busy(),
            14..16 => not_active(),
            16..18 => unknown_domain(),
            18..20 => odd(),
            20..22 => Step::Panic,
            _ => Step::Ok,
        };
        let step = match step {
            Step::Ok => self.take(called),
            step => {
                // Some failures hide that the answer was taken.
                if self.chance(30) && called.action != Action::Heartbeat {
                    self.close(called);
                }
                step
            }
        };
        if self.chance(50) { Step::after(self.millis(1500), step) } else { step }
    }

    pub(super) fn log(&self) -> Act {
        let roll = self.rng.borrow_mut().u32(0..100);
        match roll {
            _ if self.calm.get() => Act::Ack,
            0..8 => transient(),
            8..10 => permanent(),
            10..30 => Act::AckAfter(self.millis(900)),
            30..40 => Act::Late(self.millis(900)),
            40..45 => Act::Unheard,
            _ => Act::Ack,
        }
    }

    pub(super) fn reply(&self) -> Record {
        let activity = format!("a{}", self.rng.borrow_mut().u32(0..ACTIVITIES));
        match self.rng.borrow_mut().u32(0..10) {
            0 => rubbish(b"{\"task_token\": 1}"),
            1 => fail(&activity),
            2..4 => heartbeat(&activity),
            4 => reply(by_id("orders", &activity, Some(0)), completed()),
            _ => complete(&activity),
        }
    }
}

/// What an outcome says of an answer is what the engine has: nobody else's answer is called applied, and none that the
/// engine has is called something else once history was read.
fn check_truth(outcome: &Outcome, applied: &HashMap<String, Called>) {
    let id = outcome.activity.as_ref().and_then(|activity| activity.activity_id.clone());
    let (Some(id), Some(fingerprint)) = (id, outcome.fingerprint) else { return };
    // A heartbeat is no answer, and what is said of handling that panicked is nothing of the engine's.
    if outcome.action == Some(Action::Heartbeat) || outcome.kind == OutcomeKind::Rejected {
        return;
    }
    let Some(closed) = applied.get(&id) else { panic!("{outcome:?}, and {id} is open") };
    let ours = closed.identity.ends_with(&format!("{}/{fingerprint}", outcome.source));
    let same = closed.identity.ends_with(&fingerprint.to_string());
    let right = match outcome.kind {
        OutcomeKind::Applied => ours,
        OutcomeKind::Duplicate => same && !ours,
        OutcomeKind::Conflict => !same,
        OutcomeKind::NotFound => true,
        _ => false,
    };
    assert!(right, "{outcome:?} of {id}, closed by {}", closed.identity);
}
