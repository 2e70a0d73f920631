//! The eight calls that say what became of an activity: the frontend's checks, then the history host's.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::activity::{CANCEL_TOO_LARGE, COMPLETE_TOO_LARGE, FAILURE_TOO_LARGE, HEARTBEAT_TOO_LARGE};
use super::attempts::{Answer, Denied};
use super::core::Core;
use super::refusal::Refusal;
use super::requests::{Aim, AnswerCall};
use super::token::{Claims, uuid};
use super::yarpc::Call;
use crate::cadence::api;

/// Longest identity in a history event, in bytes.
const MAX_IDENTITY: usize = 1000;
/// First and longest pause between a frontend's own attempts at a history host.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Core {
    /// Takes an answer. `true` = the workflow wants the activity to stop.
    pub(super) async fn respond(&self, call: &Call, request: AnswerCall) -> Result<bool, Refusal> {
        let (domain, claims) = self.aim(&request.aim)?;
        let is_heartbeat = matches!(request.answer, Answer::Heartbeat(_));
        if !is_heartbeat && request.identity.len() > MAX_IDENTITY {
            return Err(Refusal::bad_request("Identity length exceeds limit."));
        }
        let (answer, oversized) = within(request.answer, self.options.max_blob_bytes);
        self.reach_history(call).await?;
        check_ids(&claims)?;
        let give_up = Instant::now() + self.options.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let denied = match self.try_answer(domain, &claims, answer.clone(), &request.identity) {
                Ok(cancel_requested) => return Ok(cancel_requested || (is_heartbeat && oversized)),
                Err(denied) => denied,
            };
            match denied {
                Denied::Refused(refusal) => return Err(refusal),
                Denied::Hopeful(refusal) if Instant::now() + pause >= give_up => {
                    sleep_until(give_up).await;
                    return Err(refusal);
                }
                Denied::Hopeful(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn try_answer(&self, domain: usize, claims: &Claims, answer: Answer, identity: &str) -> Result<bool, Denied> {
        let mut state = self.lock();
        let state = &mut *state;
        let run = state.run_of(domain, claims).map_err(Denied::Refused)?;
        state.runs[run].answer(claims, answer, identity, &mut state.agenda)
    }

    /// What a frontend finds out by itself: the domain, and whether the ids are there.
    fn aim(&self, aim: &Aim) -> Result<(usize, Claims), Refusal> {
        match aim {
            Aim::Token(token) => {
                let claims = Claims::from_token(token)?;
                Ok((self.lock().domain_with_id(&claims.domain_id)?, claims))
            }
            Aim::ById { domain, workflow_id, activity_id, .. } => {
                let domain = self.lock().domain_named(domain)?;
                if workflow_id.is_empty() {
                    return Err(Refusal::bad_request("WorkflowId is not set on request."));
                }
                if activity_id.is_empty() {
                    return Err(Refusal::bad_request("ActivityID is not set on request."));
                }
                Ok((domain, aim.claims().unwrap_or_default()))
            }
        }
    }
}

/// A history host's own checks of the ids.
fn check_ids(claims: &Claims) -> Result<(), Refusal> {
    if claims.workflow_id.is_empty() {
        return Err(Refusal::bad_request("WorkflowId is not set on request."));
    }
    if !claims.run_id.is_empty() && uuid(&claims.run_id).is_none() {
        return Err(Refusal::bad_request("RunID is not valid UUID."));
    }
    Ok(())
}

/// What a frontend makes of a payload that is too large: a failure with a reason of its own, which is answered with OK.
fn within(answer: Answer, limit: usize) -> (Answer, bool) {
    let (reason, details) = match &answer {
        Answer::Complete(Some(result)) if result.len() > limit => (COMPLETE_TOO_LARGE, result.slice(..limit)),
        Answer::Cancel(Some(details)) if details.len() > limit => (CANCEL_TOO_LARGE, details.slice(..limit)),
        Answer::Heartbeat(Some(details)) if details.len() > limit => (HEARTBEAT_TOO_LARGE, details.slice(..limit)),
        Answer::Fail(failure) if failure.details.len() > limit => (FAILURE_TOO_LARGE, failure.details.slice(..limit)),
        _ => return (answer, false),
    };
    (Answer::Fail(api::Failure { reason: reason.to_owned(), details }), true)
}
