//! The situations an activity can be in when an answer for it arrives, and what each of the eight calls gets then.

use handback::bridge::seams::Verdict;
use handback::cadence::api::PendingActivityState;
use tonic::Code;

use super::calls::{FORMS, Form, Say, VERBS, Verb};
use super::client;
use super::expect::{Expect, Report};
use super::stage::{Attempt, Part, Play, Stage, Workflow};

/// A situation in which all calls of one form get the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Situation {
    Completed,
    Failed,
    Canceled,
    StartToCloseTimeout,
    HeartbeatTimeout,
    /// Timed out, and the next attempt is running.
    TimedOutThenRepeated,
    /// Failed, and the next attempt is running.
    Superseded,
    /// Failed, and the next attempt has to wait; the token is the failed attempt's.
    InBackoff,
    /// The same, with a token made up for the attempt that waits.
    InBackoffNextAttempt,
    FutureAttempt,
    NotStarted,
    /// The token names an event that is not the scheduling of an open activity.
    OtherEvent,
    WorkflowCompleted,
    /// The workflow completed while the activity was running.
    WorkflowCompletedWithout,
    WorkflowTerminated,
    WorkflowTimedOut,
    UnknownActivity,
    UnknownWorkflow,
    UnknownWorkflowNoRun,
    UnknownRun,
    UnknownDomain,
}

use Situation as Is;

pub(crate) const ALL: [Situation; 21] = [
    Is::Completed,
    Is::Failed,
    Is::Canceled,
    Is::StartToCloseTimeout,
    Is::HeartbeatTimeout,
    Is::TimedOutThenRepeated,
    Is::Superseded,
    Is::InBackoff,
    Is::InBackoffNextAttempt,
    Is::FutureAttempt,
    Is::NotStarted,
    Is::OtherEvent,
    Is::WorkflowCompleted,
    Is::WorkflowCompletedWithout,
    Is::WorkflowTerminated,
    Is::WorkflowTimedOut,
    Is::UnknownActivity,
    Is::UnknownWorkflow,
    Is::UnknownWorkflowNoRun,
    Is::UnknownRun,
    Is::UnknownDomain,
];

impl Situation {
    /// What the calls of a form get; `None` where the form reaches another attempt and is answered as an open one.
    fn expects(self, form: Form, at: &Attempt) -> Option<Expect> {
        let by_id = form == Form::ById;
        Some(match self {
            Is::Completed | Is::Failed | Is::Canceled | Is::StartToCloseTimeout | Is::HeartbeatTimeout if by_id => {
                Expect::no_such_id()
            }
            Is::UnknownActivity if by_id => Expect::no_such_id(),
            Is::UnknownActivity | Is::TimedOutThenRepeated | Is::Superseded | Is::FutureAttempt | Is::OtherEvent
                if by_id =>
            {
                return None;
            }
            Is::UnknownActivity => return None,
            Is::WorkflowCompleted | Is::WorkflowCompletedWithout | Is::WorkflowTerminated | Is::WorkflowTimedOut => {
                Expect::workflow_closed()
            }
            Is::UnknownWorkflow | Is::UnknownRun => {
                let (workflow_id, run_id) = (&at.workflow_id, &at.run_id);
                let text = format!("Workflow execution not found.  WorkflowId: {workflow_id}, RunId: {run_id}");
                Expect::not_exists(text)
            }
            Is::UnknownWorkflowNoRun => {
                Expect::not_exists("GetCurrentExecution failed.  Error: sql: no rows in result set")
            }
            Is::UnknownDomain if by_id => Expect::not_exists(format!("Domain {} does not exist.", at.domain)),
            Is::UnknownDomain => Expect::not_exists(format!("Domain {UNKNOWN_DOMAIN_ID} does not exist.")),
            _ => Expect::no_such_task(),
        })
    }
}

impl Situation {
    /// What handback makes of every refusal here.
    fn verdict(self) -> Verdict {
        if self == Is::UnknownDomain { Verdict::UnknownDomain } else { Verdict::NotFound }
    }
}

/// A domain id that no server has.
pub(crate) const UNKNOWN_DOMAIN_ID: &str = "01a20512-c4f1-7204-8f3a-000000000000";
/// A run id that no server has.
pub(crate) const UNKNOWN_RUN_ID: &str = "5d2a6a0c-8f52-4b1e-9a53-0c6a3a9f7d11";

/// Brings an activity into a situation and makes the eight calls.
pub(crate) async fn probe<S: Stage>(play: Play<S>, report: Report, situation: Situation) -> Result<(), String> {
    let attempt = arrange(&play, situation).await?;
    for form in FORMS {
        let Some(expected) = situation.expects(form, &attempt) else { continue };
        for verb in VERBS {
            let say = Say::new(verb, form);
            let seen = play.say(&say, &attempt).await;
            let name = format!("{situation:?} / {}", say.method());
            report.answer(&name, &expected, &seen);
            if let Some(told) = client::say(play.wire().address(), &say, &attempt).await {
                let told = told.map(|_| ()).map_err(|error| (error.verdict, error.status, error.message));
                let on_the_wire = (situation.verdict(), status(seen.code), seen.message);
                report.same(format!("{name} through the client"), Err(on_the_wire), told);
            }
        }
    }
    Ok(())
}

/// The name of the codes that occur here.
fn status(code: i32) -> &'static str {
    match Code::from_i32(code) {
        Code::NotFound => "NOT_FOUND",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        _ => "neither",
    }
}

async fn arrange<S: Stage>(play: &Play<S>, situation: Situation) -> Result<Attempt, String> {
    match situation {
        Is::Completed => answered(play, Verb::Complete).await,
        Is::Failed => answered(play, Verb::Fail).await,
        Is::Canceled => canceled(play).await,
        Is::StartToCloseTimeout => timed_out(play, Part::new("a").start_to_close(1)).await,
        Is::HeartbeatTimeout => timed_out(play, Part::new("a").heartbeat(1)).await,
        Is::TimedOutThenRepeated => {
            repeated(play, Part::new("a").start_to_close(1).retry(1, 2), |_| async { Ok(()) }).await
        }
        Is::Superseded => repeated(play, Part::new("a").retry(1, 3), |first| fail(play.clone(), first)).await,
        Is::InBackoff | Is::InBackoffNextAttempt => in_backoff(play, situation == Is::InBackoffNextAttempt).await,
        Is::FutureAttempt => Ok(play.one(Part::new("a")).await?.1.with_claim("scheduleAttempt", 1.into())),
        Is::NotStarted => not_started(play).await,
        Is::OtherEvent => Ok(play.one(Part::new("a")).await?.1.with_claim("scheduleId", 2.into())),
        Is::WorkflowCompleted => {
            let (workflow, attempt) = play.one(Part::new("a")).await?;
            play.must(&Say::new(Verb::Complete, Form::Token), &attempt).await?;
            play.stage.complete(&workflow).await?;
            Ok(attempt)
        }
        Is::WorkflowCompletedWithout => {
            let (workflow, attempt) = play.one(Part::new("a")).await?;
            play.stage.complete(&workflow).await?;
            Ok(attempt)
        }
        Is::WorkflowTerminated => {
            let (workflow, attempt) = play.one(Part::new("a")).await?;
            play.terminate(&workflow).await?;
            Ok(attempt)
        }
        Is::WorkflowTimedOut => workflow_timed_out(play).await,
        Is::UnknownActivity => {
            Ok(Attempt { activity_id: "no-such-activity".to_owned(), ..play.one(Part::new("a")).await?.1 })
        }
        Is::UnknownWorkflow | Is::UnknownWorkflowNoRun | Is::UnknownRun | Is::UnknownDomain => {
            Ok(misaddressed(play.one(Part::new("a")).await?.1, situation))
        }
    }
}

async fn fail<S: Stage>(play: Play<S>, attempt: Attempt) -> Result<(), String> {
    play.must(&Say::new(Verb::Fail, Form::Token), &attempt).await
}

async fn answered<S: Stage>(play: &Play<S>, verb: Verb) -> Result<Attempt, String> {
    let (_, attempt) = play.one(Part::new("a")).await?;
    play.must(&Say::new(verb, Form::Token), &attempt).await?;
    Ok(attempt)
}

async fn canceled<S: Stage>(play: &Play<S>) -> Result<Attempt, String> {
    let (workflow, attempt) = play.one(Part::new("a")).await?;
    play.stage.cancel(&workflow, "a").await?;
    play.must(&Say::new(Verb::Cancel, Form::Token), &attempt).await?;
    Ok(attempt)
}

async fn timed_out<S: Stage>(play: &Play<S>, part: Part) -> Result<Attempt, String> {
    let (workflow, attempt) = play.one(part).await?;
    play.until(&workflow, "the timeout", |seen| seen.pending_activities.is_empty().then_some(())).await?;
    Ok(attempt)
}

/// Takes the first attempt, has it end, and takes the second; returns the first.
async fn repeated<S, F, E>(play: &Play<S>, part: Part, end: F) -> Result<Attempt, String>
where
    S: Stage,
    F: Fn(Attempt) -> E,
    E: Future<Output = Result<(), String>>,
{
    let (workflow, attempt) = play.one(part).await?;
    end(attempt.clone()).await?;
    let second = play.take(&workflow).await?;
    if second.number == 1 { Ok(attempt) } else { Err(format!("attempt {} came instead of 1", second.number)) }
}

async fn in_backoff<S: Stage>(play: &Play<S>, next: bool) -> Result<Attempt, String> {
    let (_, attempt) = play.one(Part::new("a").retry(60, 3)).await?;
    fail(play.clone(), attempt.clone()).await?;
    Ok(if next { attempt.with_claim("scheduleAttempt", 1.into()) } else { attempt })
}

/// Two activities, of which the worker takes one: the token of the other is made up.
async fn not_started<S: Stage>(play: &Play<S>) -> Result<Attempt, String> {
    let workflow = play.stage.begin(vec![Part::new("a"), Part::new("b")], 300).await?;
    let taken = play.take(&workflow).await?;
    let waits = |seen: &handback::cadence::api::DescribeWorkflowExecutionResponse| {
        let scheduled = PendingActivityState::Scheduled as i32;
        let mut pending = seen.pending_activities.iter();
        pending.find(|activity| activity.state == scheduled).map(|it| (it.activity_id.clone(), it.schedule_id))
    };
    let (activity_id, schedule_id) = play.until(&workflow, "a waiting activity", waits).await?;
    let attempt =
        taken.with_claim("scheduleId", schedule_id.into()).with_claim("activityId", activity_id.as_str().into());
    Ok(Attempt { activity_id, ..attempt })
}

async fn workflow_timed_out<S: Stage>(play: &Play<S>) -> Result<Attempt, String> {
    let workflow: Workflow = play.stage.begin(vec![Part::new("a")], play.stage.short_timeout() + 1).await?;
    let attempt = play.take(&workflow).await?;
    let closed = |seen: &handback::cadence::api::DescribeWorkflowExecutionResponse| {
        seen.workflow_execution_info.as_ref().filter(|info| info.close_status == 6).map(|_| ())
    };
    play.until(&workflow, "the workflow's timeout", closed).await?;
    Ok(attempt)
}

fn misaddressed(attempt: Attempt, situation: Situation) -> Attempt {
    let nobody = "contract-no-such-workflow";
    match situation {
        Is::UnknownRun => attempt.with_run(UNKNOWN_RUN_ID),
        Is::UnknownWorkflow => attempt.with_workflow(nobody),
        Is::UnknownWorkflowNoRun => attempt.with_workflow(nobody).with_run(""),
        _ => {
            let attempt = attempt.with_claim("domainId", UNKNOWN_DOMAIN_ID.into());
            Attempt { domain: "contract-no-such-domain".to_owned(), ..attempt }
        }
    }
}
