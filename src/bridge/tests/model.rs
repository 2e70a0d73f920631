//! A model of the engine: answers as the script says, remembers every call.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bridge::seams::{Accepted, Call, CallError, DomainRef, Engine, Probed, Verdict, Wiring};
use crate::bridge::sight::{History, Pending, PendingState, Reach, Sight, WorkflowSight};
use crate::wire::{Action, RefusalCode, Target};

/// What the engine does with one call.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Ok,
    CancelRequested,
    Error(CallError),
    After(Duration, Box<Step>),
    /// Waits until the test releases the activity.
    Held(Box<Step>),
    Panic,
}

impl Step {
    pub(super) fn after(delay: Duration, step: Step) -> Self {
        Self::After(delay, Box::new(step))
    }

    pub(super) fn held(step: Step) -> Self {
        Self::Held(Box::new(step))
    }
}

fn error(verdict: Verdict, status: &'static str, message: &str) -> Step {
    Step::Error(CallError { verdict, status, message: message.to_owned() })
}

pub(super) fn unavailable() -> Step {
    error(Verdict::Transient { busy: false }, "UNAVAILABLE", "history is down")
}

pub(super) fn busy() -> Step {
    error(Verdict::Transient { busy: true }, "RESOURCE_EXHAUSTED", "History host rps exceeded")
}

pub(super) fn not_found() -> Step {
    error(Verdict::NotFound, "NOT_FOUND", "activity task not found")
}

pub(super) fn refused() -> Step {
    error(Verdict::Refused(RefusalCode::CancelNotRequested), "INVALID_ARGUMENT", "cancel was not requested")
}

pub(super) fn odd() -> Step {
    error(Verdict::Wiring, "UNIMPLEMENTED", "unknown service")
}

pub(super) fn unknown_domain() -> Step {
    error(Verdict::UnknownDomain, "NOT_FOUND", "domain does not exist")
}

pub(super) fn not_active() -> Step {
    error(Verdict::DomainNotActive, "FAILED_PRECONDITION", "domain is active in another cluster")
}

/// A workflow whose history is longer than a look reads.
fn too_long() -> Sight {
    let history = History { activities: Vec::new(), cut_short: Some("its history is longer than lookup.max_pages") };
    Sight::Workflow(WorkflowSight { history: Some(history), ..WorkflowSight::default() })
}

/// A workflow in which an activity is open.
pub(super) fn open(activity: &str, attempt: i64, state: PendingState) -> Sight {
    let pending = Pending {
        schedule_id: 5,
        activity_id: activity.to_owned(),
        activity_type: "Charge".to_owned(),
        attempt,
        state,
        last_failure: None,
    };
    let domain_id = Some(super::support::DOMAIN_ID.into());
    Sight::Workflow(WorkflowSight { domain_id, pending: vec![pending], ..WorkflowSight::default() })
}

/// One call as the engine saw it.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) activity: String,
    pub(super) target: Target,
    pub(super) action: Action,
    pub(super) identity: String,
    pub(super) payload: Option<bytes::Bytes>,
    pub(super) at: Instant,
}

/// Names that things wait for until the test lets them go.
#[derive(Debug, Default)]
pub(super) struct Holds {
    released: RefCell<HashSet<String>>,
    changed: Notify,
}

impl Holds {
    pub(super) async fn wait(&self, name: &str) {
        loop {
            let changed = self.changed.notified();
            if self.released.borrow().contains(name) {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn release(&self, name: &str) {
        self.released.borrow_mut().insert(name.to_owned());
        self.changed.notify_waiters();
    }
}

/// Calls and probes of one test beyond which something spins without a pause: time stands still then, and only memory
/// would end the test.
const RUNAWAY: usize = 50_000;

/// A second domain.
pub(super) const BILLING_ID: &str = "6b2e4d7f-8a70-4e68-8e3d-1e9b4d1c9b22";

/// What the engine model says beside calls and looks, for a test whose world changes by itself.
pub(super) trait Surroundings {
    fn probe_wiring(&self) -> Wiring;
    fn probe_history(&self, domain: &DomainRef, workflow_id: &str) -> Probed;
    fn domain_name(&self, id: &str) -> Result<Option<Arc<str>>, CallError>;
    fn domain_id(&self, name: &str) -> Result<Option<Arc<str>>, CallError>;
}

type Decide = Box<dyn FnMut(&Called) -> Step>;
type Show = Box<dyn FnMut(&Target) -> Result<Sight, CallError>>;

pub(super) struct EngineModel {
    scripts: RefCell<HashMap<String, VecDeque<Step>>>,
    otherwise: RefCell<Decide>,
    pub(super) calls: RefCell<Vec<Called>>,
    running: Cell<usize>,
    pub(super) peak: Cell<usize>,
    holds: Holds,
    /// Answers of the wiring probe; the last one stays.
    pub(super) wiring: RefCell<VecDeque<Wiring>>,
    pub(super) wiring_probes: Cell<usize>,
    pub(super) history: RefCell<Probed>,
    /// Workflows whose part of the engine is unwell, whatever the others are.
    pub(super) sick: RefCell<HashSet<String>>,
    pub(super) history_probes: RefCell<Vec<(DomainRef, Instant)>>,
    /// Ids of the domains that there are, by name.
    pub(super) domains: RefCell<HashMap<&'static str, &'static str>>,
    /// What questions for domains meet instead of an answer.
    pub(super) untold: RefCell<Option<CallError>>,
    /// Questions for ids of domains so far.
    pub(super) described: Cell<usize>,
    /// Asked instead of the fields above, where it is set.
    pub(super) surroundings: RefCell<Option<Rc<dyn Surroundings>>>,
    show: RefCell<Show>,
    pub(super) looks: RefCell<Vec<Instant>>,
    pub(super) looking: Cell<usize>,
    pub(super) look_time: Cell<Duration>,
    /// How long the engine takes to tell the id of a domain.
    pub(super) describe_time: Cell<Duration>,
}

impl Default for EngineModel {
    fn default() -> Self {
        Self {
            scripts: RefCell::default(),
            otherwise: RefCell::new(Box::new(|_| Step::Ok)),
            calls: RefCell::default(),
            running: Cell::new(0),
            peak: Cell::new(0),
            holds: Holds::default(),
            wiring: RefCell::new(VecDeque::from([Wiring::Sound])),
            wiring_probes: Cell::new(0),
            history: RefCell::new(Probed::Well),
            sick: RefCell::default(),
            history_probes: RefCell::default(),
            domains: RefCell::new(HashMap::from([("orders", super::support::DOMAIN_ID), ("billing", BILLING_ID)])),
            untold: RefCell::default(),
            described: Cell::default(),
            surroundings: RefCell::default(),
            show: RefCell::new(Box::new(|_| Ok(too_long()))),
            looks: RefCell::default(),
            looking: Cell::new(0),
            look_time: Cell::default(),
            describe_time: Cell::default(),
        }
    }
}

impl EngineModel {
    /// What the next calls for this activity meet, one step each; after them the general rule.
    pub(super) fn script(&self, activity: &str, steps: impl IntoIterator<Item = Step>) {
        self.scripts.borrow_mut().entry(activity.to_owned()).or_default().extend(steps);
    }

    /// What was scripted for this activity counts no more.
    pub(super) fn forget(&self, activity: &str) {
        self.scripts.borrow_mut().remove(activity);
    }

    /// The general rule.
    pub(super) fn on_call(&self, decide: impl FnMut(&Called) -> Step + 'static) {
        *self.otherwise.borrow_mut() = Box::new(decide);
    }

    /// What a look into a workflow shows.
    pub(super) fn on_look(&self, show: impl FnMut(&Target) -> Result<Sight, CallError> + 'static) {
        *self.show.borrow_mut() = Box::new(show);
    }

    pub(super) fn always(&self, step: Step) {
        self.on_call(move |_| step.clone());
    }

    /// Lets held calls for this activity go on.
    pub(super) fn release(&self, activity: &str) {
        self.holds.release(activity);
    }

    pub(super) fn calls_for(&self, activity: &str) -> Vec<Called> {
        self.calls.borrow().iter().filter(|called| called.activity == activity).cloned().collect()
    }

    /// How often each activity was called so far.
    pub(super) fn count(&self, activity: &str) -> usize {
        self.calls_for(activity).len()
    }

    pub(super) fn total(&self) -> usize {
        self.calls.borrow().len()
    }

    fn next_step(&self, called: &Called) -> Step {
        let scripted = self.scripts.borrow_mut().get_mut(&called.activity).and_then(VecDeque::pop_front);
        scripted.unwrap_or_else(|| (self.otherwise.borrow_mut())(called))
    }
}

/// Counts a call for as long as it runs.
struct Running<'a>(&'a EngineModel);

impl<'a> Running<'a> {
    fn new(engine: &'a EngineModel) -> Self {
        engine.running.set(engine.running.get() + 1);
        engine.peak.set(engine.peak.get().max(engine.running.get()));
        Self(engine)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
    }
}

impl Engine for Rc<EngineModel> {
    async fn call(&self, call: Call<'_>) -> Result<Accepted, CallError> {
        let _running = Running::new(self);
        let activity = match call.target {
            Target::Token(token) => token.claims().activity_id,
            Target::ById(id) => &id.activity_id,
        };
        let called = Called {
            activity: activity.to_owned(),
            target: call.target.clone(),
            action: call.answer.action(),
            identity: call.identity.to_owned(),
            payload: call.answer.engine_payload(),
            at: Instant::now(),
        };
        self.calls.borrow_mut().push(called.clone());
        assert!(self.total() < RUNAWAY, "calls without a pause");
        let mut step = self.next_step(&called);
        loop {
            step = match step {
                Step::Ok => return Ok(Accepted::default()),
                Step::CancelRequested => return Ok(Accepted { cancel_requested: true }),
                Step::Error(error) => return Err(error),
                // Past the panic hook: its backtraces are noise here, and slow.
                Step::Panic => std::panic::resume_unwind(Box::new("the model engine was told to panic")),
                Step::After(delay, then) => {
                    tokio::time::sleep(delay).await;
                    *then
                }
                Step::Held(then) => {
                    self.holds.wait(activity).await;
                    *then
                }
            };
        }
    }

    async fn probe_wiring(&self) -> Wiring {
        self.wiring_probes.set(self.wiring_probes.get() + 1);
        assert!(self.wiring_probes.get() < RUNAWAY, "probes without a pause");
        if let Some(surroundings) = &*self.surroundings.borrow() {
            return surroundings.probe_wiring();
        }
        let mut wiring = self.wiring.borrow_mut();
        if wiring.len() > 1 { wiring.pop_front().unwrap() } else { wiring[0].clone() }
    }

    async fn probe_history(&self, domain: &DomainRef, workflow_id: &str) -> Probed {
        self.history_probes.borrow_mut().push((domain.clone(), Instant::now()));
        assert!(self.history_probes.borrow().len() < RUNAWAY, "probes without a pause");
        if let Some(surroundings) = &*self.surroundings.borrow() {
            return surroundings.probe_history(domain, workflow_id);
        }
        if self.sick.borrow().contains(workflow_id) {
            return Probed::Unwell("its shard has no owner".to_owned());
        }
        self.history.borrow().clone()
    }

    async fn domain_name(&self, id: &str) -> Result<Option<Arc<str>>, CallError> {
        if let Some(surroundings) = &*self.surroundings.borrow() {
            return surroundings.domain_name(id);
        }
        self.untold.borrow().clone().map_or(Ok(()), Err)?;
        Ok(self.domains.borrow().iter().find(|(_, known)| **known == id).map(|(name, _)| (*name).into()))
    }

    async fn domain_id(&self, name: &str) -> Result<Option<Arc<str>>, CallError> {
        self.described.set(self.described.get() + 1);
        assert!(self.described.get() < RUNAWAY, "questions without a pause");
        if let Some(surroundings) = &*self.surroundings.borrow() {
            return surroundings.domain_id(name);
        }
        tokio::time::sleep(self.describe_time.get()).await;
        self.untold.borrow().clone().map_or(Ok(()), Err)?;
        Ok(self.domains.borrow().get(name).map(|id| (*id).into()))
    }

    async fn look(&self, target: &Target, _reach: Reach) -> Result<Sight, CallError> {
        self.looks.borrow_mut().push(Instant::now());
        assert!(self.looks.borrow().len() < RUNAWAY, "looks without a pause");
        self.looking.set(self.looking.get() + 1);
        tokio::time::sleep(self.look_time.get()).await;
        self.looking.set(self.looking.get() - 1);
        (self.show.borrow_mut())(target)
    }
}
