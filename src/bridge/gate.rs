//! The gate before every call: closed while the engine is unwell (breaker) or while it is in doubt whether there is an
//! engine of ours behind the address at all (wiring). A watcher probes and reopens it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::{Breaker, Policy, State};
use super::seams::DomainRef;

/// Why nothing may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The engine failed for too many workflows. The domain of one of them, for the probe; none at the start.
    Unwell(Option<DomainRef>),
    /// An answer that no Cadence frontend of ours gives; the text is the answer's.
    Wiring(String),
}

/// The gate of one worker.
#[derive(Debug)]
pub(crate) struct Gate {
    breaker: RefCell<Breaker>,
    suspicion: RefCell<Option<String>>,
    trial_taken: Cell<bool>,
    failing_domain: RefCell<Option<DomainRef>>,
    /// Whether the last probe since the breaker opened was left unanswered.
    unanswered: Cell<bool>,
    /// How often it was shut so far.
    shut: Cell<u64>,
    began: Instant,
    /// Wakes records that wait at the gate.
    opened: Notify,
    /// Wakes the watcher.
    trouble: Notify,
}

/// Leave to make one call. Dropped without a report it says nothing about the engine.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    trial: bool,
}

impl Gate {
    /// An open gate.
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            breaker: RefCell::new(Breaker::new(policy)),
            suspicion: RefCell::new(None),
            trial_taken: Cell::new(false),
            failing_domain: RefCell::new(None),
            unanswered: Cell::new(false),
            shut: Cell::new(0),
            began: Instant::now(),
            opened: Notify::new(),
            trouble: Notify::new(),
        }
    }

    /// Waits until a call may be made. Cancel safe.
    pub(crate) async fn pass(&self) -> Pass<'_> {
        loop {
            // Registered before the state is read, so that an opening in between is not missed.
            let opened = self.opened.notified();
            if let Some(pass) = self.try_pass() {
                return pass;
            }
            opened.await;
        }
    }

    /// Leave to call, if nothing stands against it.
    pub(crate) fn try_pass(&self) -> Option<Pass<'_>> {
        if self.suspicion.borrow().is_some() {
            return None;
        }
        match self.breaker.borrow().state() {
            State::Closed => Some(Pass { gate: self, trial: false }),
            State::Trial if !self.trial_taken.replace(true) => Some(Pass { gate: self, trial: true }),
            State::Trial | State::Open => None,
        }
    }

    /// Whether records may come to the gate: at a trial too, because one has to go first.
    pub(crate) fn admits(&self) -> bool {
        self.suspicion.borrow().is_none() && self.breaker.borrow().state() != State::Open
    }

    /// Whether everything goes.
    pub(crate) fn is_open(&self) -> bool {
        self.suspicion.borrow().is_none() && self.breaker() == State::Closed
    }

    /// Whether the engine looks unwell as a whole from here, so that no worker's replies may leave. Where `sampled`, what is in
    /// hand failed before: its failures are the rule and say little, and only the probe counts.
    pub(crate) fn ails(&self, sampled: bool) -> bool {
        let by_breaker = match self.breaker() {
            State::Closed => false,
            State::Open => !sampled || self.unanswered.get(),
            // With nobody to go first there is no call to wait for: the probe was answered.
            State::Trial => !sampled && self.trial_taken.get(),
        };
        by_breaker || self.suspicion.borrow().is_some()
    }

    /// Now, as [`Gate::answered_another_since`] takes it.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether a call for another workflow than this one (hash) was answered since.
    pub(crate) fn answered_another_since(&self, since: Duration, workflow: u64) -> bool {
        self.breaker.borrow().answered_another_since(since, workflow)
    }

    /// How the breaker sees the engine.
    pub(crate) fn breaker(&self) -> State {
        self.breaker.borrow().state()
    }

    /// What keeps the gate shut and wants a probe, if anything does.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        if let Some(text) = self.suspicion.borrow().clone() {
            return Some(Trouble::Wiring(text));
        }
        (self.breaker() == State::Open).then(|| Trouble::Unwell(self.failing_domain.borrow().clone()))
    }

    /// Resolves when there may be trouble.
    pub(crate) async fn troubled(&self) {
        self.trouble.notified().await;
    }

    /// Shuts the gate until the wiring is proven sound.
    pub(crate) fn suspect(&self, text: String) {
        self.suspicion.borrow_mut().get_or_insert(text);
        self.note_shut();
        self.trouble.notify_one();
    }

    /// Shuts the gate at the start, when nobody answered.
    pub(crate) fn shut(&self) {
        self.breaker.borrow_mut().open();
        self.note_shut();
        self.trouble.notify_one();
    }

    /// The wiring is sound after all.
    pub(crate) fn trust(&self) {
        *self.suspicion.borrow_mut() = None;
        self.opened.notify_waiters();
    }

    /// The engine left the probe unanswered, or answered as an ailing one does.
    pub(crate) fn probe_failed(&self) {
        self.unanswered.set(true);
    }

    /// The engine answered the probe: one record may go first.
    pub(crate) fn probe_answered(&self) {
        self.breaker.borrow_mut().probe_answered();
        self.unanswered.set(false);
        self.trial_taken.set(false);
        self.opened.notify_waiters();
    }

    /// How often it was shut so far: tells whether it was between two moments at which it was open. What failed before says
    /// nothing about a record.
    pub(crate) fn times_shut(&self) -> u64 {
        self.shut.get()
    }

    fn note_shut(&self) {
        self.shut.set(self.shut.get() + 1);
    }
}

impl Pass<'_> {
    /// Whether it would be given now too.
    pub(crate) fn holds(&self) -> bool {
        let wanted = if self.trial { State::Trial } else { State::Closed };
        self.gate.suspicion.borrow().is_none() && self.gate.breaker() == wanted
    }

    /// The engine answered, whatever it said.
    pub(crate) fn answered(mut self, workflow: u64) {
        self.trial = false;
        let was = self.gate.breaker();
        self.gate.breaker.borrow_mut().answered(self.gate.now(), workflow);
        // Whoever ended the trial: it may have been a call that began before the breaker opened.
        if was == State::Trial {
            self.gate.opened.notify_waiters();
        }
    }

    /// The call failed for a transient reason.
    pub(crate) fn failed(mut self, workflow: u64, domain: DomainRef) {
        let (now, was) = (self.gate.now(), self.gate.breaker());
        let opened = match std::mem::take(&mut self.trial) {
            true => self.gate.breaker.borrow_mut().trial_failed(now, workflow),
            false => self.gate.breaker.borrow_mut().failed(now, workflow),
        };
        if opened {
            *self.gate.failing_domain.borrow_mut() = Some(domain);
            self.gate.note_shut();
            self.gate.trouble.notify_one();
        } else if was == State::Trial {
            self.gate.opened.notify_waiters();
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.trial {
            self.gate.trial_taken.set(false);
            self.gate.opened.notify_waiters();
        }
    }
}
