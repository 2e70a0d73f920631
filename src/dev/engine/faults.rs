//! Scripted faults: what the engine does instead of, or besides, answering.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::method::Method;
use super::refusal::Refusal;

/// What happens to a call that a rule applies to.
#[derive(Clone, Debug)]
pub enum Effect {
    /// It is not carried out; this is the answer.
    Refuse(Refusal),
    /// It is not carried out and never answered: the caller sees its own deadline.
    Silence,
    /// It is carried out, and never answered.
    ApplyThenSilence,
    /// It is carried out, and its stream is reset instead of answered.
    ApplyThenReset,
    /// It is carried out and answered, but only after this pause.
    Delay(Duration),
}

/// An effect, the calls it is for, and how often it happens.
#[derive(Clone, Debug)]
pub struct Rule {
    effect: Effect,
    methods: Vec<Method>,
    workflow_id: Option<String>,
    left: u64,
}

impl Rule {
    /// A rule for every respond and heartbeat call, for ever.
    pub fn new(effect: Effect) -> Rule {
        let methods = Method::ALL.into_iter().filter(|method| method.is_answer()).collect();
        Rule { effect, methods, workflow_id: None, left: u64::MAX }
    }

    /// Only for these methods.
    #[must_use]
    pub fn on(mut self, methods: &[Method]) -> Rule {
        self.methods = methods.to_vec();
        self
    }

    /// Only for calls about this workflow.
    #[must_use]
    pub fn workflow(mut self, workflow_id: impl Into<String>) -> Rule {
        self.workflow_id = Some(workflow_id.into());
        self
    }

    /// Only for the next `count` calls that it applies to.
    #[must_use]
    pub fn times(mut self, count: u64) -> Rule {
        self.left = count;
        self
    }

    fn applies(&self, method: Method, workflow_id: Option<&str>) -> bool {
        let about = self.workflow_id.as_deref().is_none_or(|wanted| workflow_id == Some(wanted));
        self.left > 0 && about && self.methods.contains(&method)
    }
}

/// What is broken as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outage {
    /// Nothing.
    #[default]
    None,
    /// The history hosts are gone: calls about workflows wait until their deadline, or until the frontend gives up and
    /// answers `UNKNOWN`. Health, domain look-ups and the frontend's own checks go on as if nothing had happened.
    History,
    /// The frontend is gone: connections are cut and new ones closed at once.
    Frontend,
    /// Something else listens at the address: every call is `UNIMPLEMENTED`.
    NotAFrontend,
}

/// Handle to the script; clones share it.
#[derive(Clone, Debug)]
pub struct Faults {
    rules: Arc<Mutex<Vec<Rule>>>,
    outage: watch::Sender<Outage>,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults { rules: Arc::default(), outage: watch::Sender::new(Outage::None) }
    }
}

impl Faults {
    /// Adds a rule. The oldest rule that applies to a call decides about it.
    pub fn add(&self, rule: Rule) {
        self.rules().push(rule);
    }

    /// The next `count` calls of `method` are refused.
    pub fn refuse(&self, method: Method, count: u64, refusal: Refusal) {
        self.add(Rule::new(Effect::Refuse(refusal)).on(&[method]).times(count));
    }

    /// Begins an outage, or ends it with [`Outage::None`].
    pub fn outage(&self, outage: Outage) {
        self.outage.send_replace(outage);
    }

    /// Forgets all rules and ends any outage.
    pub fn clear(&self) {
        self.rules().clear();
        self.outage(Outage::None);
    }

    /// Rules that may still apply to a call.
    pub fn pending(&self) -> usize {
        self.rules().len()
    }

    pub(super) fn take(&self, method: Method, workflow_id: impl Fn() -> Option<String>) -> Option<Effect> {
        let mut rules = self.rules();
        if rules.is_empty() {
            return None;
        }
        let about = workflow_id();
        let place = rules.iter().position(|rule| rule.applies(method, about.as_deref()))?;
        let rule = &mut rules[place];
        let effect = rule.effect.clone();
        rule.left -= 1;
        if rule.left == 0 {
            rules.remove(place);
        }
        Some(effect)
    }

    pub(super) fn present(&self) -> Outage {
        *self.outage.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Outage> {
        self.outage.subscribe()
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
