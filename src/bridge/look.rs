//! Looking into workflows: bounded in number, rate and time, and remembered for a short while, because the replies that
//! need it seldom come alone (a crash, a workflow with many activities). None of this is on the path of a good reply.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::core::Core;
use super::gate::Pass;
use super::judge::{Judgement, Known, Question};
use super::places::Places;
use super::retry::{Next, Schedule};
use super::seams::{CallError, Engine, Log, Verdict};
use super::settle::domain;
use super::sight::{Reach, Sight};
use super::work::Work;
use crate::wire::{Action, OutcomeKind, Target};

/// Looks of one worker at the same time: as many as keep the default rate with a look of 50 ms.
const MAX_AT_ONCE: usize = 5;

/// Workflows remembered, and activities over all of them: some megabytes at most.
const MAX_KEPT: usize = 64;
const MAX_KEPT_ACTIVITIES: usize = 20_000;

/// Longest wait of a heartbeat for its turn. Those that come too late are nothing unforeseen, may go on for ever, and have
/// nothing to lose but the reason: a service that sends thousands a second must not take the places of answers.
const HEARTBEAT_TURN: Duration = Duration::from_millis(100);

/// Looks after the fast schedule of a failing one is spent, `retry.max` apart: 10 s by default. A shard moves in less.
const MAX_SLOW_TRIES: u32 = 5;

/// First and longest pause before another look for an event that does not show yet. Decisions take milliseconds, and
/// seconds at worst.
const UNSEEN_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The limits of looking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Looks a second of one worker; 0 is no limit.
    pub max_per_second: u32,
    /// How much of a history is read.
    pub reach: Reach,
    /// Longest look, and longest wait for its turn.
    pub timeout: Duration,
    /// How long an event that must come is looked for.
    pub patience: Duration,
    /// How long what was seen is remembered.
    pub keep: Duration,
    /// How long a reply waits for what it needs before it can be answered.
    pub wait: Duration,
}

/// One partition's place in the queue for looks. Only one of its replies stands there at a time: partitions take turns, and who
/// is the first of one waits for no more than one of each other.
#[derive(Debug)]
pub(crate) struct Queue(Rc<Places>);

impl Default for Queue {
    fn default() -> Self {
        Self(Places::new(1))
    }
}

/// The looks of one worker.
#[derive(Debug)]
pub(crate) struct Looks {
    pub(crate) policy: Policy,
    turns: Rc<Places>,
    next: Cell<Option<Instant>>,
    kept: RefCell<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    /// Domain (name or id), workflow and run.
    workflow: [String; 3],
    sight: Rc<Sight>,
    began: Instant,
    at: Instant,
}

/// What one look gave.
pub(crate) enum Seen {
    /// An earlier look at the workflow says it all.
    Known(Known),
    /// What a look shows that began after the question was asked.
    Fresh(Rc<Sight>),
}

/// Why nothing was seen.
pub(crate) enum Unseen<'a> {
    /// Too many others waited.
    Crowded,
    Failed(Pass<'a>, CallError),
}

/// Why the engine does not find what a reply answers.
pub(crate) enum Why {
    Known(Known),
    /// There is none: the engine lists what it answers as open.
    Open,
    /// What it answers has not begun.
    NotYet,
}

impl Looks {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, turns: Places::new(MAX_AT_ONCE), next: Cell::new(None), kept: RefCell::default() }
    }

    /// Waits until the rate allows another look.
    async fn pace(&self) {
        if self.policy.max_per_second == 0 {
            return;
        }
        let now = Instant::now();
        let at = self.next.get().map_or(now, |next| next.max(now));
        self.next.set(Some(at + Duration::from_secs(1) / self.policy.max_per_second));
        tokio::time::sleep_until(at).await;
    }

    /// What earlier looks say for good, or all that one says which began after the question was `asked`: an own look
    /// would show no more. A thousand activities whose events do not show yet need one look between them each time.
    ///
    /// Only looks that read what the question is about: one for an open activity reads no history, and one for names without
    /// an attempt neither that nor the domain's id.
    fn remembered(&self, question: &Question<'_>, asked: Instant) -> Option<Seen> {
        let workflow = workflow_of(question.target);
        self.kept.borrow().iter().rev().filter(|kept| kept.at.elapsed() < self.policy.keep).find_map(|kept| {
            if kept.workflow.iter().zip(workflow).any(|(kept, wanted)| kept != wanted) {
                return None;
            }
            if !kept.sight.is_enough_for(question.target) {
                return None;
            }
            if kept.began >= asked {
                return Some(Seen::Fresh(Rc::clone(&kept.sight)));
            }
            match question.judge(&kept.sight) {
                Judgement::Final(known) if question.lasts(&known, &kept.sight) => Some(Seen::Known(known)),
                _ => None,
            }
        })
    }

    /// Keeps what a look showed, in the place of what an earlier one showed that read no more.
    fn remember(&self, target: &Target, sight: &Rc<Sight>, began: Instant) {
        let workflow = workflow_of(target).map(str::to_owned);
        let replaced = |kept: &Kept| kept.workflow == workflow && sight.reads() >= kept.sight.reads();
        let mut kept = self.kept.borrow_mut();
        kept.retain(|kept| !replaced(kept) && kept.at.elapsed() < self.policy.keep);
        kept.push_back(Kept { workflow, sight: Rc::clone(sight), began, at: Instant::now() });
        while kept.len() > 1
            && (kept.len() > MAX_KEPT || kept.iter().map(|kept| size(&kept.sight)).sum::<usize>() > MAX_KEPT_ACTIVITIES)
        {
            kept.pop_front();
        }
    }
}

fn size(sight: &Sight) -> usize {
    match sight {
        Sight::Nothing => 0,
        Sight::Workflow(it) => it.pending.len() + it.history.as_ref().map_or(0, |history| history.activities.len()),
    }
}

fn workflow_of(target: &Target) -> [&str; 3] {
    match target {
        Target::Token(token) => {
            let claims = token.claims();
            [claims.domain_id, claims.workflow_id, claims.run_id]
        }
        Target::ById(id) => [&id.domain, &id.workflow_id, &id.run_id],
    }
}

/// One look, when its turn has come and the engine is well. Whoever waits for the same workflow shares it.
pub(crate) async fn look_once<'a, E: Engine, L: Log>(
    core: &'a Core<E, L>,
    work: &Work,
    question: &Question<'_>,
) -> Result<Seen, Unseen<'a>> {
    let (looks, target, asked) = (&core.looks, question.target, Instant::now());
    let beats = question.answer.action() == Action::Heartbeat;
    let turn_within = if beats { HEARTBEAT_TURN.min(looks.policy.timeout) } else { looks.policy.timeout };
    let _turn = loop {
        // As long as the engine is unwell nobody's patience is used up: whoever has a turn waits for the gate with it.
        drop(core.gate.pass().await);
        let shut_before = core.gate.times_shut();
        let turn = async {
            let _first = work.life.queue.0.take().await;
            looks.turns.take().await
        };
        match tokio::time::timeout(turn_within, turn).await {
            Ok(turn) => break turn,
            Err(_) if !core.gate.is_open() || core.gate.times_shut() != shut_before => {}
            Err(_) => return Err(Unseen::Crowded),
        }
    };
    if let Some(seen) = looks.remembered(question, asked) {
        return Ok(seen);
    }
    looks.pace().await;
    let pass = core.permit().await;
    let began = Instant::now();
    match tokio::time::timeout(looks.policy.timeout, core.engine.look(target, looks.policy.reach)).await {
        Ok(Ok(sight)) => {
            pass.answered(target.workflow_hash());
            let sight = Rc::new(sight);
            looks.remember(target, &sight, began);
            Ok(Seen::Fresh(sight))
        }
        Ok(Err(error)) => Err(Unseen::Failed(pass, error)),
        Err(_) => Err(Unseen::Failed(pass, too_late(looks.policy.timeout))),
    }
}

fn too_late(timeout: Duration) -> CallError {
    let message = format!("the look-up took longer than {timeout:?}");
    // A large history is slow on an engine that is well: no news for the breaker.
    CallError { verdict: Verdict::Transient { busy: true }, status: "DEADLINE_EXCEEDED", message }
}

/// Learns why the engine does not find what a reply answers. What cannot be learnt within the limits is
/// [`OutcomeKind::NotFound`], never a guess. Whoever has waited (`queued_at`) for earlier replies to its activity, which
/// had the same to learn, has patience from then on, and looks at least once.
pub(crate) async fn why<E: Engine, L: Log>(core: &Core<E, L>, work: &Work, question: &Question<'_>) -> Why {
    let queued_at = work.queued_at;
    let began = queued_at.unwrap_or_else(Instant::now);
    let patient = || began.elapsed() < core.looks.policy.patience;
    let mut failures = Schedule::new(core.options.retry, core.began());
    let mut pause = UNSEEN_PAUSES.0;
    loop {
        let delay = match look_once(core, work, question).await {
            Ok(Seen::Known(known)) => return Why::Known(known),
            Ok(Seen::Fresh(sight)) => match question.judge(&sight) {
                Judgement::Final(known) => return Why::Known(known),
                Judgement::Open(_) => return Why::Open,
                Judgement::NotYet => return Why::NotYet,
                Judgement::Unseen if !patient() => {
                    return unlearnt("the activity is closed, and the event that says how does not show");
                }
                Judgement::Unseen => {
                    let longer = (pause * 2).min(UNSEEN_PAUSES.1);
                    std::mem::replace(&mut pause, longer)
                }
            },
            Err(Unseen::Crowded) => return unlearnt("more look-ups waited than lookup.max_per_second lets through"),
            Err(Unseen::Failed(pass, error)) => match after_failure(core, question, pass, &error, &mut failures) {
                Some(delay) if queued_at.is_none() || patient() => delay,
                _ => return unlearnt(&format!("the look-up failed: {} {}", error.status, error.message)),
            },
        };
        tokio::time::sleep(delay).await;
    }
}

fn unlearnt(what: &str) -> Why {
    let detail = format!("why was not learnt: {what}");
    Why::Known(Known { outcome: OutcomeKind::NotFound, evidence: None, detail })
}

/// How long to wait before a failed look is tried again, if it is.
fn after_failure<E: Engine, L: Log>(
    core: &Core<E, L>,
    question: &Question<'_>,
    pass: Pass<'_>,
    error: &CallError,
    failures: &mut Schedule,
) -> Option<Duration> {
    let retry = &core.options.retry;
    let busy = match error.verdict {
        Verdict::Refused(_) => return None,
        Verdict::Wiring if is_denied(error) => return None,
        Verdict::Transient { busy: false } => {
            pass.failed(question.target.workflow_hash(), domain(question.target));
            false
        }
        // No news for the breaker, and none for the wiring: the engine has just answered a call.
        Verdict::Transient { busy: true } => true,
        Verdict::NotFound | Verdict::DomainNotActive | Verdict::UnknownDomain | Verdict::Wiring => false,
    };
    match failures.failed(busy, core.random()) {
        Next::Retry(delay) => Some(delay),
        Next::Spent(_) => (failures.attempts() < retry.max_attempts + MAX_SLOW_TRIES).then_some(retry.max),
    }
}

/// Looking is authorised where answering is not: being denied it says nothing about the wiring.
pub(crate) fn is_denied(error: &CallError) -> bool {
    matches!(error.status, "PERMISSION_DENIED" | "UNAUTHENTICATED")
}
