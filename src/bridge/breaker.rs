//! Tells an engine that is unwell from a record that is: looks at the share of workflows whose calls failed for a
//! transient reason. Distinct workflows, because one workflow with a broken shard or a thousand activities must not
//! stop everybody. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

/// When the breaker opens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How far back calls count.
    pub window: Duration,
    /// Fewer failing workflows than this never open it.
    pub min_workflows: usize,
    /// Failing workflows as a share of all that called, 0 to 1.
    pub failure_share: f64,
}

/// How the engine is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Well: everything goes.
    Closed,
    /// Unwell: nothing goes, a probe is due at times.
    Open,
    /// The probe was answered: one record goes first.
    Trial,
}

/// Slices of the window; older slices fall off whole.
const SLICES: u32 = 10;

/// Workflows remembered per slice, the first to call. A sample of this size settles a share of one half beyond doubt;
/// failed and answered share it, since a bound for each would make a few failures in many calls look like one half.
const MAX_WORKFLOWS: usize = 256;

#[derive(Debug, Default)]
struct Slice {
    number: u64,
    /// Whether a call of the workflow failed.
    seen: FxHashMap<u64, bool>,
}

impl Slice {
    /// Takes note of a call. True when this workflow has failed for the first time here.
    fn note(&mut self, workflow: u64, failed: bool) -> bool {
        let room = self.seen.len() < MAX_WORKFLOWS;
        match self.seen.get_mut(&workflow) {
            Some(before) => failed && !std::mem::replace(before, true),
            None => room && self.seen.insert(workflow, failed).is_none() && failed,
        }
    }
}

/// The breaker of one worker.
#[derive(Debug)]
pub struct Breaker {
    policy: Policy,
    state: State,
    slices: VecDeque<Slice>,
    /// Workflows whose calls failed in a trial since it opened, as many as open it.
    tried: FxHashSet<u64>,
    /// The workflow that was answered last, and when.
    answered: Option<(u64, Duration)>,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, state: State::Closed, slices: VecDeque::new(), tried: FxHashSet::default(), answered: None }
    }

    /// How the engine is seen now.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Opens at once: nobody answered at the start.
    pub fn open(&mut self) {
        self.state = State::Open;
        self.tried.clear();
    }

    /// Whether another workflow than this one (hash) was answered since.
    #[must_use]
    pub fn answered_another_since(&self, since: Duration, workflow: u64) -> bool {
        self.answered.is_some_and(|(other, at)| other != workflow && at >= since)
    }

    /// The engine answered a call for this workflow (hash), with whatever answer. Ends a trial well.
    pub fn answered(&mut self, now: Duration, workflow: u64) {
        if self.state == State::Trial {
            self.close();
        }
        self.answered = Some((workflow, now));
        self.slice(now).note(workflow, false);
    }

    /// The call that went first failed. As [`Breaker::failed`], but for a workflow that failed a trial before while fewer than
    /// open it did: that closes it. A worker may have nothing else in hand, and what a few workflows meet says as little of
    /// the engine in a trial as at any other time.
    pub fn trial_failed(&mut self, now: Duration, workflow: u64) -> bool {
        let few = self.tried.len() < self.policy.min_workflows;
        if self.state == State::Trial && few && !self.tried.insert(workflow) {
            self.close();
        }
        self.failed(now, workflow)
    }

    /// A call for this workflow (hash) failed for a transient reason. True when this opened the breaker.
    pub fn failed(&mut self, now: Duration, workflow: u64) -> bool {
        match self.state {
            State::Open => return false,
            State::Trial => {
                self.state = State::Open;
                return true;
            }
            State::Closed => {}
        }
        // A failure that adds nothing to the tally cannot open what the tally left closed.
        if !self.slice(now).note(workflow, true) {
            return false;
        }
        let (failed, all) = self.tally();
        if failed >= self.policy.min_workflows && failed as f64 >= self.policy.failure_share * all as f64 {
            self.open();
        }
        self.state == State::Open
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.slices.clear();
        self.tried.clear();
    }

    /// The probe was answered: one record may go first.
    pub fn probe_answered(&mut self) {
        if self.state == State::Open {
            self.state = State::Trial;
        }
    }

    /// Workflows with a failure in the window, and workflows with any call in it.
    fn tally(&self) -> (usize, usize) {
        let mut all: FxHashMap<u64, bool> = FxHashMap::default();
        for (workflow, failed) in self.slices.iter().flat_map(|slice| &slice.seen) {
            *all.entry(*workflow).or_default() |= failed;
        }
        (all.values().filter(|failed| **failed).count(), all.len())
    }

    /// The slice of `now`, after dropping those that fell out of the window.
    fn slice(&mut self, now: Duration) -> &mut Slice {
        // Milliseconds in 64 bits: this is asked for every record.
        let number = millis(now) / millis(self.policy.window / SLICES).max(1);
        while self.slices.front().is_some_and(|oldest| oldest.number + u64::from(SLICES) <= number) {
            self.slices.pop_front();
        }
        if self.slices.back().is_none_or(|newest| newest.number < number) {
            self.slices.push_back(Slice { number, ..Slice::default() });
        }
        let last = self.slices.len() - 1;
        &mut self.slices[last]
    }
}

fn millis(time: Duration) -> u64 {
    time.as_secs() * 1000 + u64::from(time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy { window: Duration::from_secs(10), min_workflows: 5, failure_share: 0.5 };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_outage_opens_it_and_a_probe_lets_one_record_go_first() {
        let mut breaker = Breaker::new(POLICY);
        let opened: Vec<bool> = (0..6).map(|workflow| breaker.failed(at(1), workflow)).collect();
        assert_eq!(opened, [false, false, false, false, true, false]);
        assert_eq!(breaker.state(), State::Open);
        breaker.probe_answered();
        assert_eq!(breaker.state(), State::Trial);
        assert!(breaker.failed(at(3), 9), "the first record failed: open again");
        breaker.probe_answered();
        breaker.answered(at(5), 9);
        assert_eq!(breaker.state(), State::Closed);
        assert!(!breaker.failed(at(5), 1), "what was before the outage ended does not count");
    }

    #[test]
    fn one_workflow_alone_cannot_keep_it_open() {
        let mut breaker = Breaker::new(POLICY);
        breaker.open();
        breaker.probe_answered();
        assert!(breaker.trial_failed(at(1), 9) && breaker.state() == State::Open, "it may be the engine");
        breaker.probe_answered();
        assert!(!breaker.trial_failed(at(3), 9) && breaker.state() == State::Closed, "the same again, and no other");
        assert!((0..4).any(|workflow| breaker.failed(at(3), workflow)), "with others it opens");
    }

    #[test]
    fn trials_that_fail_for_as_many_workflows_as_open_it_keep_it_open() {
        let mut breaker = Breaker::new(POLICY);
        breaker.open();
        for trial in 0..100 {
            breaker.probe_answered();
            assert!(breaker.trial_failed(at(trial), trial % 5), "trial {trial}");
        }
    }

    #[test]
    fn an_answer_to_another_workflow_is_told_from_one_to_the_same_and_from_an_old_one() {
        let mut breaker = Breaker::new(POLICY);
        breaker.answered(at(5), 7);
        assert!(breaker.answered_another_since(at(5), 1));
        assert!(!breaker.answered_another_since(at(5), 7) && !breaker.answered_another_since(at(6), 1));
    }

    #[test]
    fn one_workflow_cannot_open_it() {
        let mut breaker = Breaker::new(POLICY);
        assert!((0..10_000).all(|i| !breaker.failed(at(i / 1000), 7)));
    }

    #[test]
    fn failures_among_many_successes_do_not_open_it() {
        let mut breaker = Breaker::new(POLICY);
        (100..200).for_each(|workflow| breaker.answered(at(0), workflow));
        assert!((0..50).all(|workflow| !breaker.failed(at(1), workflow)));
    }

    #[test]
    fn few_failures_do_not_open_it_at_any_rate_of_calls() {
        let mut breaker = Breaker::new(POLICY);
        let now = |call: u64| Duration::from_micros(call * 50);
        let opened = (0..200_000).any(|call| {
            let failed = call % 20 == 0 && breaker.failed(now(call), call);
            breaker.answered(now(call), call + 1_000_000);
            failed
        });
        assert!(!opened, "one in twenty of 20,000 workflows a second failed");
    }

    #[test]
    fn old_failures_are_forgotten() {
        let mut breaker = Breaker::new(POLICY);
        (0..4).for_each(|workflow| assert!(!breaker.failed(at(0), workflow)));
        assert!(!breaker.failed(at(11), 4));
    }

    proptest! {
        /// Never open below the least number of failing workflows, never closed at a full outage above it.
        #[test]
        fn opens_by_share_of_workflows(
            calls in proptest::collection::vec((0u64..30, any::<bool>(), 0u64..3), 1..200),
        ) {
            let mut breaker = Breaker::new(POLICY);
            let mut now = 0;
            let mut log: Vec<(u64, u64, bool)> = Vec::new();
            for (workflow, ok, gone) in calls {
                now += gone;
                log.push((now, workflow, ok));
                if ok { breaker.answered(at(now), workflow); } else { breaker.failed(at(now), workflow); }
                let recent: Vec<_> = log.iter().filter(|(t, _, _)| t + 9 >= now).collect();
                let failed: HashSet<_> = recent.iter().filter(|(_, _, ok)| !ok).map(|(_, w, _)| w).collect();
                let all: HashSet<_> = recent.iter().map(|(_, w, _)| w).collect();
                let model = !ok && failed.len() >= 5 && failed.len() * 2 >= all.len();
                prop_assert_eq!(breaker.state() == State::Open, model);
                if model { break; }
            }
        }
    }
}
