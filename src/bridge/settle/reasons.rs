//! The parts of the story that most replies never come to: looking before answering, and learning why the engine does
//! not find what a reply answers.

use std::time::Duration;

use tokio::time::Instant;

use super::tries::{Decision, Tries};
use super::{Asked, decide, domain, final_answer, later};
use crate::bridge::core::Core;
use crate::bridge::judge::{Judgement, Known, Question};
use crate::bridge::look::{Seen, Unseen, Why, is_denied, look_once, why};
use crate::bridge::retry::{Next, Schedule};
use crate::bridge::seams::{CallError, Engine, Log, Verdict};
use crate::bridge::sight::{Pending, PendingState, Sight};
use crate::bridge::tiers::Cause;
use crate::bridge::windows::Slot;
use crate::bridge::work::{Conclusion, Work};
use crate::wire::{Action, OutcomeKind, RefusalCode, Reply, Target, TaskToken, TokenClaims};

/// Whether the state has to be known before the engine is called: a cancellation that nobody asked for holds the server
/// for 30 s, and a reply by id with an attempt is answered by the token that this gives.
pub(super) fn looks_first(reply: &Reply) -> bool {
    reply.answer.action() == Action::Cancel || names_attempt(&reply.target)
}

fn names_attempt(target: &Target) -> bool {
    matches!(target, Target::ById(id) if id.attempt.is_some())
}

/// How long a reply has waited for what it needs.
pub(super) struct Waiting {
    until: Instant,
    schedule: Schedule,
}

impl Waiting {
    pub(super) fn begin<E: Engine, L: Log>(core: &Core<E, L>, work: &Work) -> Self {
        let schedule = Schedule::new(core.options.retry, core.began());
        Self { until: began(work) + core.looks.policy.wait, schedule }
    }

    /// How often it has waited.
    pub(super) fn times(&self) -> u32 {
        self.schedule.attempts()
    }

    /// How long to wait before the next look: soon at first, then slowly, and once more at the end. `None` when it has
    /// waited long enough, or too many wait behind it.
    fn next<E: Engine, L: Log>(&mut self, core: &Core<E, L>, work: &Work) -> Option<Duration> {
        let (Next::Retry(delay) | Next::Spent(delay)) = self.schedule.failed(false, core.random());
        let left = self.until.saturating_duration_since(Instant::now());
        (!left.is_zero() && !core.hurries(work)).then_some(delay.min(left))
    }
}

/// When the waits of a record began: it may have waited for earlier replies to its activity, which had the same to wait for.
fn began(work: &Work) -> Instant {
    work.queued_at.unwrap_or_else(Instant::now)
}

/// What a look before the call led to.
enum Looked {
    /// The engine can be called, by this token where there is one.
    Answer(Option<Box<Target>>),
    Ended(Asked),
    Wait(Duration),
}

/// Looks until the reply can be answered, or until it is known that it never can. Finds the token for names with an
/// attempt.
pub(super) async fn look_first<'a, E: Engine, L: Log>(
    core: &'a Core<E, L>,
    work: &Work,
    reply: &Reply,
    question: Question<'_>,
    slot: &mut Slot,
    tries: &mut Tries<'a>,
) -> Result<(), Asked> {
    let mut waiting = Waiting::begin(core, work);
    // Good replies do not wait for those that look.
    slot.look();
    loop {
        let looked = match look_once(core, work, &question).await {
            Ok(Seen::Known(known)) => Looked::Ended(concluded(known, 0, None)),
            Ok(Seen::Fresh(sight)) => {
                // Looks that failed before are no calls that may have been applied, and what held the record has passed.
                *tries = Tries::default();
                by_sight(core, work, &question, &sight, &mut waiting).await
            }
            Err(Unseen::Crowded) if core.may_spill() => {
                let ending = Conclusion::exhausted("too many others waited for a look into their workflows".to_owned());
                Looked::Ended(Asked::Later(Cause::Crowded, ending))
            }
            Err(Unseen::Crowded) => Looked::Wait(core.options.retry.max),
            Err(Unseen::Failed(pass, error)) if may_go_unseen(&question, &error) => {
                drop(pass);
                Looked::Answer(None)
            }
            Err(Unseen::Failed(pass, error)) if is_denied(&error) => {
                drop(pass);
                tries.hurried = core.hurries(work);
                tries.unready = Some(Box::new(core.denied(&domain(question.target), &error)));
                let decision = tries.slowly(core, Cause::Parked);
                unseen(core, work, &question, &error, decision, tries).await
            }
            Err(Unseen::Failed(pass, error)) => {
                tries.hurried = core.hurries(work);
                let decision = decide(core, work, reply, pass, &error, tries);
                unseen(core, work, &question, &error, decision, tries).await
            }
        };
        let delay = match looked {
            Looked::Answer(token) => {
                if let Some(token) = token {
                    // It is found once: nothing looks again after this.
                    let _ = work.found.set(token);
                }
                slot.unpark().await;
                return Ok(());
            }
            Looked::Ended(asked) => return Err(asked),
            Looked::Wait(delay) => delay,
        };
        tracing::debug!(record = %work.record.origin, ?delay, "looking again before the engine is called");
        core.pause(work, delay).await;
    }
}

/// What a look that failed leads to.
async fn unseen<'a, E: Engine, L: Log>(
    core: &'a Core<E, L>,
    work: &Work,
    question: &Question<'_>,
    error: &CallError,
    decision: Decision,
    tries: &mut Tries<'a>,
) -> Looked {
    let delay = match decision {
        Decision::Final => return Looked::Ended(final_answer(error.clone(), tries)),
        Decision::Spent(cause, delay) => match core.leaves_for(cause, question.target, tries.failing_since()).await {
            Some(cause) => return Looked::Ended(later(core, cause, question.target, error, std::mem::take(tries))),
            None => delay,
        },
        Decision::Wait(delay) => delay,
    };
    core.note_wait(work, error, delay, tries.attempts());
    Looked::Wait(delay)
}

/// A cancel of whoever may not look is sent as it is.
fn may_go_unseen(question: &Question<'_>, error: &CallError) -> bool {
    error.verdict == Verdict::Wiring && is_denied(error) && !names_attempt(question.target)
}

async fn by_sight<E: Engine, L: Log>(
    core: &Core<E, L>,
    work: &Work,
    question: &Question<'_>,
    sight: &Sight,
    waiting: &mut Waiting,
) -> Looked {
    let cancels = question.answer.action() == Action::Cancel;
    match question.judge(sight) {
        Judgement::Final(known) => Looked::Ended(concluded(known, 0, None)),
        Judgement::Open(pending) if cancels && pending.state != PendingState::CancelRequested => {
            waiting.next(core, work).map_or_else(|| Looked::Ended(unasked()), Looked::Wait)
        }
        Judgement::Open(pending) => answer(question.target, sight, pending),
        Judgement::NotYet if beats(question) => Looked::Ended(ended(OutcomeKind::NotFound, NOT_BEGUN, 0)),
        Judgement::NotYet => {
            let spent = || Looked::Ended(Asked::Later(Cause::NotReady, Conclusion::exhausted(NOT_BEGUN.to_owned())));
            waiting.next(core, work).map_or_else(spent, Looked::Wait)
        }
        Judgement::Unseen => match why(core, work, question).await {
            Why::Known(known) => Looked::Ended(concluded(known, 0, None)),
            Why::Open | Why::NotYet => Looked::Wait(core.options.retry.initial),
        },
    }
}

fn unasked() -> Asked {
    let detail = "the workflow has not asked for this activity to stop; send `cancel` once a heartbeat's outcome says \
                  `cancel_requested`, or `fail`";
    Asked::Later(Cause::Unasked, Conclusion::rejected(RefusalCode::CancelNotRequested, detail.to_owned()))
}

/// Why an early reply cannot be answered.
const NOT_BEGUN: &str = "the attempt has not begun: no worker has taken it";

/// Why a reply cannot be answered that should be.
const NOT_TAKEN: &str = "the engine lists the attempt as open, and does not find it when it is answered";

fn ended(outcome: OutcomeKind, detail: &str, attempts: u32) -> Asked {
    concluded(Known { outcome, evidence: None, detail: detail.to_owned() }, attempts, None)
}

/// A heartbeat has nothing to wait for: by the time its attempt begins it is old.
fn beats(question: &Question<'_>) -> bool {
    question.answer.action() == Action::Heartbeat
}

/// By what the activity is answered: names with an attempt by the token that they stand for.
fn answer(target: &Target, sight: &Sight, pending: &Pending) -> Looked {
    let (Target::ById(id), Sight::Workflow(workflow)) = (target, sight) else { return Looked::Answer(None) };
    if id.attempt.is_none() {
        return Looked::Answer(None);
    }
    let token = TaskToken::build(TokenClaims {
        domain_id: workflow.domain_id.as_deref().unwrap_or_default().to_owned(),
        workflow_id: id.workflow_id.clone(),
        run_id: id.run_id.clone(),
        schedule_id: pending.schedule_id,
        attempt: pending.attempt,
        activity_id: id.activity_id.clone(),
        activity_type: pending.activity_type.clone(),
        workflow_type: String::new(),
    });
    match token {
        Ok(token) => Looked::Answer(Some(Box::new(Target::Token(token)))),
        Err(fault) => {
            let detail = format!("the engine describes an activity for which no token can be made: {fault}");
            Looked::Ended(Asked::Concluded(Conclusion::rejected(RefusalCode::EngineRefused, detail)))
        }
    }
}

/// What "not found" means for a reply; `Err` says how long to wait before the engine is asked once more, because a look
/// shows that what it answers is open or will be.
pub(super) async fn explain<E: Engine, L: Log>(
    core: &Core<E, L>,
    work: &Work,
    question: Question<'_>,
    error: &CallError,
    tries: &mut Tries<'_>,
) -> Result<Asked, Duration> {
    let attempts = tries.attempts() + 1;
    match why(core, work, &question).await {
        Why::Known(mut known) => {
            if known.outcome == OutcomeKind::NotFound {
                known.detail = format!("{}: {}; {}", error.status, error.message, known.detail);
                if tries.ambiguous {
                    known
                        .detail
                        .push_str("; an earlier try of this very record got no clear answer and may have been applied");
                }
            }
            Ok(concluded(known, attempts, Some(error.status)))
        }
        state @ (Why::Open | Why::NotYet) => {
            let detail = if matches!(state, Why::Open) { NOT_TAKEN } else { NOT_BEGUN };
            if beats(&question) {
                return Ok(ended(OutcomeKind::NotFound, detail, attempts));
            }
            let waiting = tries.waiting.get_or_insert_with(|| Box::new(Waiting::begin(core, work)));
            let spent = || Conclusion { attempts, ..Conclusion::exhausted(detail.to_owned()) };
            waiting.next(core, work).map_or_else(|| Ok(Asked::Later(Cause::NotReady, spent())), Err)
        }
    }
}

fn concluded(known: Known, attempts: u32, engine_status: Option<&'static str>) -> Asked {
    let Known { outcome, evidence, detail } = known;
    let mut conclusion =
        Conclusion { evidence, attempts, engine_status, detail: Some(detail), ..Conclusion::of(outcome) };
    if outcome == OutcomeKind::Rejected {
        conclusion.reason = Some(RefusalCode::EngineRefused.as_str());
    }
    // The engine may come to know it: a cluster that replicates is behind by seconds, one that fails over by minutes.
    if outcome == OutcomeKind::Unknown {
        Asked::Later(Cause::Unknown, conclusion)
    } else {
        Asked::Concluded(conclusion)
    }
}
