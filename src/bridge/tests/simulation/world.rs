//! The state of a simulated world: what is out of order at the moment, and when each thing was so last.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::activities::{Truth, domain, workflow};
use super::choices::Choices;
use super::faults::{Fault, Menu};
use super::log::Unwritten;
use super::story::Story;
use super::waits::Waits;
use crate::bridge::seams::Verdict;
use crate::bridge::tests::model::Step;
use crate::bridge::tests::support::{Stage, seconds};

/// Whether a domain is at home here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Here,
    Unknown,
    Elsewhere,
}

/// What trouble can be of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Of {
    /// Everything: the engine as a whole, or what stands before it.
    Engine,
    Activity(u32),
    Workflow(u32),
    Domain(&'static str),
    /// Everything that is written to partitions of this number, or read from them.
    Partition(i32),
    /// One topic, by its name: it was stopped by the flood guard.
    Topic(String),
    /// What waits on partitions of this number of the retry topics.
    Retries(i32),
}

/// As `breaker.window` and `breaker.min_workflows`: so many failing workflows in so short a time are the engine's trouble.
pub(super) const BREAKER: (Duration, usize) = (seconds(10), 3);

/// How long a look takes: so that several are under way at once.
const LOOK: Duration = Duration::from_millis(60);

pub(super) struct World {
    pub(super) choices: Rc<Choices>,
    pub(super) menu: Menu,
    pub(super) story: Rc<Story>,
    pub(super) truth: Truth,
    pub(super) waits: Waits,
    pub(super) down: Cell<bool>,
    /// Workflows whose part of the engine is unwell.
    pub(super) sick: RefCell<BTreeSet<u32>>,
    pub(super) billing: Cell<Home>,
    /// Partitions that cannot be written.
    pub(super) unwritable: RefCell<BTreeSet<(Unwritten, i32)>>,
    /// Each call and each write takes a millisecond, so that something can happen during it.
    pub(super) steady: Cell<bool>,
    /// Calls, looks and writes so far.
    pub(super) changes: Cell<usize>,
    /// Outcomes looked at so far.
    pub(super) looked_at: Cell<usize>,
    last: RefCell<BTreeMap<Of, Instant>>,
    failing: RefCell<Vec<(Instant, u32)>>,
    began: Instant,
}

impl World {
    pub(super) fn new(choices: Rc<Choices>, menu: Menu, story: Rc<Story>) -> Self {
        Self {
            choices,
            menu,
            story,
            truth: Truth::default(),
            waits: Waits::default(),
            down: Cell::new(false),
            sick: RefCell::default(),
            billing: Cell::new(Home::Here),
            unwritable: RefCell::default(),
            steady: Cell::new(false),
            changes: Cell::new(0),
            looked_at: Cell::new(0),
            last: RefCell::default(),
            failing: RefCell::default(),
            began: Instant::now(),
        }
    }

    /// Puts this world around the workers between the models of a stage.
    pub(super) fn surround(self: &Rc<Self>, stage: &Stage) {
        let (calls, looks, writes) = (Rc::clone(self), Rc::clone(self), Rc::clone(self));
        stage.engine.on_call(move |called| calls.call(called));
        stage.engine.on_look(move |target| looks.look(target));
        stage.engine.look_time.set(LOOK);
        stage.log.on_write(move |record| writes.write(record));
        *stage.engine.surroundings.borrow_mut() = Some(Rc::<Self>::clone(self));
    }

    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn change(&self) {
        self.changes.set(self.changes.get() + 1);
    }

    /// There is trouble of this at the moment.
    pub(super) fn trouble(&self, of: Of) {
        self.last.borrow_mut().insert(of, Instant::now());
    }

    pub(super) fn last_trouble(&self, of: &Of) -> Option<Instant> {
        self.last.borrow().get(of).copied()
    }

    /// What is out of order for a while is trouble for as long.
    pub(super) fn note_lasting(&self) {
        if self.down.get() {
            self.trouble(Of::Engine);
        }
        self.sick.borrow().iter().for_each(|workflow| self.trouble(Of::Workflow(*workflow)));
        if self.billing.get() != Home::Here {
            self.trouble(Of::Domain("billing"));
        }
        self.trouble(Of::Domain("nowhere"));
        for (topic, partition) in &*self.unwritable.borrow() {
            self.trouble(match topic {
                Unwritten::Retries => Of::Retries(*partition),
                _ => Of::Partition(*partition),
            });
        }
    }

    /// What a call's answer is trouble of.
    pub(super) fn note_call(&self, activity: u32, step: &Step) {
        let mut step = step;
        while let Step::After(delay, then) = step {
            if *delay > Duration::ZERO {
                self.trouble(Of::Activity(activity));
            }
            step = then;
        }
        match step {
            Step::Ok | Step::CancelRequested => return,
            Step::Error(error) => match error.verdict {
                Verdict::Transient { busy: false } => self.note_failing(activity),
                Verdict::Wiring => self.trouble(Of::Engine),
                _ => {}
            },
            Step::Held(_) | Step::Panic | Step::After(..) => {}
        }
        if !matches!(step, Step::Error(error) if error.verdict == Verdict::NotFound) {
            self.truth.fail(activity);
        }
        self.trouble(Of::Activity(activity));
    }

    pub(super) fn note_failed_look(&self, activity: u32) {
        self.truth.fail(activity);
        self.note_failing(activity);
        self.trouble(Of::Workflow(workflow(activity)));
    }

    fn note_failing(&self, activity: u32) {
        let mut failing = self.failing.borrow_mut();
        failing.retain(|(at, _)| at.elapsed() < BREAKER.0);
        failing.push((Instant::now(), workflow(activity)));
        let workflows: BTreeSet<u32> = failing.iter().map(|(_, workflow)| *workflow).collect();
        if workflows.len() >= BREAKER.1 {
            self.trouble(Of::Engine);
        }
    }

    /// When an activity, or anything that all of its replies need, was last in trouble.
    pub(super) fn troubled(&self, activity: u32) -> Option<Instant> {
        if self.is_unknown(activity) || self.is_stubborn(activity) {
            self.trouble(Of::Activity(activity));
        }
        let of = [Of::Activity(activity), Of::Workflow(workflow(activity)), Of::Domain(domain(activity).0)];
        of.iter().filter_map(|of| self.last_trouble(of)).max()
    }

    /// Nothing is out of order from now on.
    pub(super) fn release(&self) {
        self.story.tell(|| "everything is mended".to_owned());
        self.menu.calm();
        self.down.set(false);
        self.sick.borrow_mut().clear();
        self.billing.set(Home::Here);
        self.unwritable.borrow_mut().clear();
    }

    /// Whether a kind of fault lasts: it is not over when single faults are.
    pub(super) fn lasts(&self) -> bool {
        self.menu.has(Fault::Shard) || self.menu.has(Fault::Domain) || !self.unwritable.borrow().is_empty()
    }
}
