//! What the simulated engine answers: to calls, to looks as `cadence/looking.rs` makes them, to probes.

use std::sync::Arc;

use super::activities::{
    BILLING_ID, Closed, NOWHERE_ID, activities, domain, is_asked_to_stop, is_nowhere, number, schedule_id, workflow,
};
use super::faults::Fault;
use super::world::{Home, Of, World};
use crate::bridge::seams::{CallError, DomainRef, Probed, Verdict, Wiring};
use crate::bridge::sight::{Closing, Content, History, Past, Pending, PendingState, Sight, Timeout, WorkflowSight};
use crate::bridge::tests::model::{
    Called, Step, Surroundings, busy, not_active, not_found, odd, unavailable, unknown_domain,
};
use crate::bridge::tests::support::DOMAIN_ID;
use crate::wire::{Action, Target};

/// The deadline of a call in the model; production has 10 s.
const CALL_TIMEOUT: u64 = 2_000;

fn transient(message: &str) -> CallError {
    let verdict = Verdict::Transient { busy: false };
    CallError { verdict, status: "UNAVAILABLE", message: message.to_owned() }
}

fn away(home: Home, activity: u32) -> Option<Step> {
    match home {
        _ if is_nowhere(activity) => Some(unknown_domain()),
        Home::Here => None,
        Home::Unknown => Some(unknown_domain()),
        Home::Elsewhere => Some(not_active()),
    }
}

impl World {
    fn home(&self, activity: u32) -> Home {
        if domain(activity).0 == "billing" { self.billing.get() } else { Home::Here }
    }

    pub(super) fn call(&self, called: &Called) -> Step {
        self.change();
        self.time_out();
        let activity = number(&called.activity);
        self.check_ledger(called, activity);
        let step = self.answer(called, activity);
        self.story.tell(|| {
            let origin = called.identity.split('/').skip(3).take(3).collect::<Vec<_>>().join("/");
            format!("call {} {} for {origin}: {}", called.action, called.activity, shown(&step))
        });
        self.note_call(activity, &step);
        if self.menu.has(Fault::SlowCalls) && !self.menu.is_calm() {
            return Step::after(self.choices.millis(500), step);
        }
        if self.steady.get() { Step::after(std::time::Duration::from_millis(1), step) } else { step }
    }

    fn answer(&self, called: &Called, activity: u32) -> Step {
        if let Some(step) = away(self.home(activity), activity) {
            return step;
        }
        if self.sick.borrow().contains(&workflow(activity)) || self.is_stubborn(activity) {
            return unavailable();
        }
        if self.is_unknown(activity) {
            return not_found();
        }
        if self.down.get() {
            return Step::after(self.choices.millis(200), unavailable());
        }
        let faults = [
            (Fault::Unavailable, 10),
            (Fault::AnswerLost, 8),
            (Fault::Busy, 4),
            (Fault::OddDomain, 3),
            (Fault::OddAnswer, 2),
            (Fault::Panic, 2),
        ];
        match self.menu.single(&self.choices, &faults) {
            None => self.take(called, activity),
            Some(Fault::AnswerLost) => {
                if called.action != Action::Heartbeat {
                    self.take(called, activity);
                }
                unavailable()
            }
            Some(Fault::Busy) => busy(),
            Some(Fault::OddDomain) => {
                if self.choices.chance(50) {
                    not_active()
                } else {
                    unknown_domain()
                }
            }
            Some(Fault::OddAnswer) => odd(),
            Some(Fault::Panic) => Step::Panic,
            Some(_) => unavailable(),
        }
    }

    /// Takes the first answer to an activity.
    fn take(&self, called: &Called, activity: u32) -> Step {
        let open = self.truth.closed(activity).is_none();
        match called.action {
            _ if !open => not_found(),
            Action::Heartbeat if is_asked_to_stop(activity) => Step::CancelRequested,
            Action::Heartbeat => Step::Ok,
            // A server holds a cancellation that nobody asked for until the caller gives up.
            Action::Cancel if !is_asked_to_stop(activity) => {
                Step::after(std::time::Duration::from_millis(CALL_TIMEOUT), unavailable())
            }
            _ => {
                self.truth.close(called);
                Step::Ok
            }
        }
    }

    pub(super) fn look(&self, target: &Target) -> Result<Sight, CallError> {
        self.change();
        self.time_out();
        let activity = match target {
            Target::Token(token) => number(token.claims().activity_id),
            Target::ById(id) => number(&id.activity_id),
        };
        self.trouble(Of::Activity(activity));
        let sight = self.see(target, activity);
        self.story.tell(|| format!("look for a{activity}: {}", sight_shown(&sight)));
        if sight.is_err() {
            self.note_failed_look(activity);
        }
        sight
    }

    /// As `look_into` does it: the domain's id only for names with an attempt, and history only for those or where the state
    /// does not show the target open.
    fn see(&self, target: &Target, activity: u32) -> Result<Sight, CallError> {
        if is_nowhere(activity) || self.home(activity) == Home::Unknown {
            let (verdict, message) = (Verdict::UnknownDomain, "domain does not exist".to_owned());
            return Err(CallError { verdict, status: "NOT_FOUND", message });
        }
        if self.down.get() || self.sick.borrow().contains(&workflow(activity)) {
            return Err(transient("history is down"));
        }
        let bad = self.menu.single(&self.choices, &[(Fault::BadLooks, 40)]).is_some();
        if bad && self.choices.chance(50) {
            return Err(transient("the shard moves"));
        }
        if self.is_unknown(activity) {
            return Ok(Sight::Nothing);
        }
        let exact = matches!(target, Target::ById(id) if id.attempt.is_some());
        let all = || activities(workflow(activity)).filter(|n| !self.is_unknown(*n));
        let open = |n: &u32| self.truth.closed(*n).is_none();
        let pending = all().filter(open).map(|n| Pending {
            schedule_id: schedule_id(n),
            activity_id: format!("a{n}"),
            activity_type: "Charge".to_owned(),
            attempt: 0,
            state: if is_asked_to_stop(n) { PendingState::CancelRequested } else { PendingState::Started },
            last_failure: None,
        });
        // What closed an activity while a decision runs is written down when that ends.
        let past = |n: u32| Past {
            schedule_id: schedule_id(n),
            activity_id: format!("a{n}"),
            attempt: Some(0),
            last_failure: None,
            closing: self.truth.closed(n).filter(|_| !bad).map(closing),
        };
        let reads_history = exact || !open(&activity);
        Ok(Sight::Workflow(WorkflowSight {
            domain_id: exact.then(|| domain(activity).1.into()),
            closed: None,
            pending: pending.collect(),
            history: reads_history.then(|| History { activities: all().map(past).collect(), cut_short: None }),
        }))
    }
}

fn closing(closed: Closed) -> Closing {
    match closed {
        Closed::TimedOut => Closing::TimedOut(Timeout::StartToClose),
        Closed::By(called) => Closing::Answered {
            action: called.action,
            content: match called.action {
                Action::Fail => Content::failed("CardDeclined", called.payload.clone()),
                Action::Cancel => Content::canceled(called.payload.clone()),
                _ => Content::completed(called.payload.clone()),
            },
            identity: called.identity,
        },
    }
}

fn shown(step: &Step) -> String {
    match step {
        Step::Error(error) => format!("{} {}", error.status, error.message),
        Step::After(delay, step) => format!("after {delay:?} {}", shown(step)),
        step => format!("{step:?}"),
    }
}

fn sight_shown(sight: &Result<Sight, CallError>) -> String {
    match sight {
        Err(error) => format!("{} {}", error.status, error.message),
        Ok(Sight::Nothing) => "nothing".to_owned(),
        Ok(Sight::Workflow(it)) => {
            let open: Vec<_> = it.pending.iter().map(|pending| &pending.activity_id[..]).collect();
            let history = it.history.as_ref().map(|history| {
                let closed = history.activities.iter().filter(|past| past.closing.is_some());
                closed.map(|past| &past.activity_id[..]).collect::<Vec<_>>()
            });
            format!("open {open:?}, closed by history {history:?}")
        }
    }
}

impl Surroundings for World {
    fn probe_wiring(&self) -> Wiring {
        if self.down.get() { Wiring::Unreachable("refused".to_owned()) } else { Wiring::Sound }
    }

    fn probe_history(&self, domain: &DomainRef, workflow_id: &str) -> Probed {
        let (DomainRef::Id(name) | DomainRef::Name(name)) = domain;
        let billing = [BILLING_ID, "billing"].contains(&&**name);
        let sick = self.sick.borrow().iter().any(|workflow| workflow_id == format!("w{workflow}"));
        match self.billing.get() {
            _ if self.down.get() || sick => Probed::Unwell("history is down".to_owned()),
            Home::Unknown | Home::Elsewhere if billing => Probed::Elsewhere("not here".to_owned()),
            _ if [NOWHERE_ID, "nowhere"].contains(&&**name) => Probed::Elsewhere("no such domain".to_owned()),
            _ => Probed::Well,
        }
    }

    fn domain_name(&self, id: &str) -> Result<Option<Arc<str>>, CallError> {
        match id {
            _ if self.down.get() => Err(transient("history is down")),
            DOMAIN_ID => Ok(Some("orders".into())),
            BILLING_ID if self.billing.get() != Home::Unknown => Ok(Some("billing".into())),
            _ => Ok(None),
        }
    }

    fn domain_id(&self, name: &str) -> Result<Option<Arc<str>>, CallError> {
        match name {
            _ if self.down.get() => Err(transient("history is down")),
            "orders" => Ok(Some(DOMAIN_ID.into())),
            "billing" if self.billing.get() != Home::Unknown => Ok(Some(BILLING_ID.into())),
            _ => Ok(None),
        }
    }
}
