//! What happens to the attempts of a run's activities: started, answered, overdue.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::activity::{Activity, Ending, Phase, Started};
use super::agenda::{Agenda, Due, Ready};
use super::clock;
use super::history::seconds;
use super::refusal::Refusal;
use super::run::{Run, started_event};
use super::token::{BY_ID, Claims};
use crate::cadence::api::{self, WorkflowExecutionCloseStatus as CloseStatus, history_event::Attributes};

/// What a worker says about an attempt.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Complete(Option<Bytes>),
    Fail(api::Failure),
    Cancel(Option<Bytes>),
    Heartbeat(Option<Bytes>),
}

/// Why an answer was not taken.
#[derive(Debug)]
pub(super) enum Denied {
    /// For good.
    Refused(Refusal),
    /// Something that a cluster tries again by itself for a while, with what it says when it gives up.
    Hopeful(Refusal),
}

impl Run {
    /// Hands an attempt to a worker; `None` if it is no longer the one to be started.
    pub(super) fn take(
        &mut self,
        ready: Ready,
        worker: &str,
        agenda: &mut Agenda,
    ) -> Option<api::PollForActivityTaskResponse> {
        let place = self.place_of(ready.schedule_id)?;
        let activity = &self.activities[place];
        let startable = matches!(activity.phase, Phase::Scheduled) && activity.attempt == ready.attempt;
        if self.closed.is_some() || !startable {
            return None;
        }
        let event_id = activity.plan.retry.is_none().then(|| {
            self.history.begin();
            self.history.record(started_event(activity, worker))
        });
        let activity = &mut self.activities[place];
        let at = Instant::now();
        activity.phase = Phase::Started(Started { event_id, at, time: clock::now(), worker: worker.to_owned() });
        activity.last_heartbeat = None;
        let (schedule_id, attempt) = (ready.schedule_id, ready.attempt);
        let limit = Duration::from_secs(u64::from(activity.plan.start_to_close_seconds));
        agenda.at(at + limit, self.index, Due::StartToClose { schedule_id, attempt });
        if let Some(due) = activity.heartbeat_due() {
            agenda.at(due, self.index, Due::Heartbeat { schedule_id, attempt });
        }
        self.changed.notify_waiters();
        Some(self.handed_out(&self.activities[place]))
    }

    fn handed_out(&self, activity: &Activity) -> api::PollForActivityTaskResponse {
        let started_time = activity.started().map(|started| started.time.into());
        api::PollForActivityTaskResponse {
            task_token: self.claims(activity).to_token(),
            workflow_execution: Some(api::WorkflowExecution {
                workflow_id: self.start.workflow_id.clone(),
                run_id: self.run_id.to_string(),
            }),
            activity_id: activity.plan.activity_id.clone(),
            activity_type: Some(api::ActivityType { name: activity.plan.activity_type.clone() }),
            input: activity.input.clone().map(|data| api::Payload { data }),
            scheduled_time: Some(activity.scheduled_time.into()),
            started_time,
            schedule_to_close_timeout: Some(seconds(self.start.timeout_seconds)),
            start_to_close_timeout: Some(seconds(activity.plan.start_to_close_seconds)),
            heartbeat_timeout: Some(seconds(activity.plan.heartbeat_seconds)),
            attempt: activity.attempt,
            scheduled_time_of_this_attempt: Some(activity.attempt_scheduled_time.into()),
            heartbeat_details: activity.heartbeat_details.clone().map(|data| api::Payload { data }),
            workflow_type: Some(api::WorkflowType { name: self.start.workflow_type.clone() }),
            workflow_domain: self.domain_name.to_string(),
            ..Default::default()
        }
    }

    /// Takes an answer to the attempt that `claims` names. `true` = the workflow wants the activity to stop.
    pub(super) fn answer(
        &mut self,
        claims: &Claims,
        answer: Answer,
        identity: &str,
        agenda: &mut Agenda,
    ) -> Result<bool, Denied> {
        let place = self.seek(claims)?;
        let cancel_requested = self.activities[place].cancel_requested.is_some();
        match answer {
            Answer::Complete(result) => self.close(place, Ending::Completed, identity, result, None, agenda),
            Answer::Fail(failure) => self.fail(place, failure, identity, agenda),
            Answer::Cancel(details) if cancel_requested => {
                self.close(place, Ending::Canceled, identity, details, None, agenda);
            }
            Answer::Cancel(_) => return Err(Denied::Hopeful(unasked_cancel())),
            Answer::Heartbeat(details) => self.beat(place, details),
        }
        Ok(cancel_requested)
    }

    /// The checks of a history host, in its order.
    fn seek(&self, claims: &Claims) -> Result<usize, Denied> {
        let refuse = |refusal| Err(Denied::Refused(refusal));
        if self.closed.is_some() {
            return refuse(Refusal::entity_not_exists("Workflow execution already completed."));
        }
        let by_id = claims.schedule_id == BY_ID;
        let place =
            if by_id { self.by_id.get(&claims.activity_id).copied() } else { self.place_of(claims.schedule_id) };
        let pending = place.filter(|place| self.activities[*place].is_pending());
        if by_id && pending.is_none() {
            return refuse(Refusal::bad_request("Cannot locate Activity ScheduleID"));
        }
        if pending.is_none() && claims.schedule_id >= self.history.next_id() {
            return Err(Denied::Hopeful(stale()));
        }
        let found = pending.filter(|place| {
            let activity = &self.activities[*place];
            activity.started().is_some() && (by_id || claims.attempt == i64::from(activity.attempt))
        });
        found.map_or_else(|| refuse(Refusal::entity_not_exists("activity task not found")), Ok)
    }

    fn place_of(&self, schedule_id: i64) -> Option<usize> {
        self.activities.binary_search_by_key(&schedule_id, |activity| activity.schedule_id).ok()
    }

    fn fail(&mut self, place: usize, failure: api::Failure, identity: &str, agenda: &mut Agenda) {
        if !self.repeat(place, &failure, agenda) {
            let details = (!failure.details.is_empty()).then_some(failure.details);
            self.close(place, Ending::Failed, identity, details, Some(failure.reason), agenda);
        }
    }

    /// Starts the pause before the next attempt, if there is to be one.
    fn repeat(&mut self, place: usize, failure: &api::Failure, agenda: &mut Agenda) -> bool {
        let activity = &mut self.activities[place];
        let Some(pause) = activity.repeat(failure, clock::now()) else { return false };
        let due = Due::Offer { schedule_id: activity.schedule_id, attempt: activity.attempt };
        agenda.at(Instant::now() + pause, self.index, due);
        true
    }

    fn beat(&mut self, place: usize, details: Option<Bytes>) {
        let activity = &mut self.activities[place];
        activity.heartbeat_details = details.filter(|details| !details.is_empty());
        activity.last_heartbeat = Some((Instant::now(), clock::now()));
        activity.heartbeats += 1;
    }

    /// Does what a timer was set for, if it still applies.
    pub(super) fn fall_due(&mut self, due: Due, agenda: &mut Agenda) {
        if self.closed.is_some() {
            return;
        }
        match due {
            Due::RunTimeout => self.cut_off(
                CloseStatus::TimedOut,
                Attributes::WorkflowExecutionTimedOutEventAttributes(api::WorkflowExecutionTimedOutEventAttributes {
                    timeout_type: api::TimeoutType::StartToClose as i32,
                }),
            ),
            Due::Offer { schedule_id, attempt } => {
                agenda.offer(self.domain, &self.start.task_list, Ready { run: self.index, schedule_id, attempt });
            }
            Due::StartToClose { schedule_id, attempt } => {
                if let Some(place) = self.running(schedule_id, attempt) {
                    self.time_out(place, Ending::StartToClose, agenda);
                }
            }
            Due::Heartbeat { schedule_id, attempt } => self.check_heartbeat(schedule_id, attempt, agenda),
        }
    }

    fn check_heartbeat(&mut self, schedule_id: i64, attempt: i32, agenda: &mut Agenda) {
        let Some(place) = self.running(schedule_id, attempt) else { return };
        match self.activities[place].heartbeat_due() {
            Some(at) if at > Instant::now() => agenda.at(at, self.index, Due::Heartbeat { schedule_id, attempt }),
            _ => self.time_out(place, Ending::HeartbeatMissed, agenda),
        }
    }

    fn running(&self, schedule_id: i64, attempt: i32) -> Option<usize> {
        let place = self.place_of(schedule_id)?;
        let activity = &self.activities[place];
        (activity.started().is_some() && activity.attempt == attempt).then_some(place)
    }

    fn time_out(&mut self, place: usize, ending: Ending, agenda: &mut Agenda) {
        let kind = if ending == Ending::StartToClose { "START_TO_CLOSE" } else { "HEARTBEAT" };
        let failure = api::Failure { reason: format!("cadenceInternal:Timeout {kind}"), details: Bytes::new() };
        if !self.repeat(place, &failure, agenda) {
            let details = self.activities[place].heartbeat_details.clone();
            self.close(place, ending, "", details, None, agenda);
        }
    }
}

fn unasked_cancel() -> Refusal {
    let text = "cadence internal error, msg: Unable to add ActivityTaskCanceled event to history.";
    Refusal::plain(tonic::Code::Unknown, text)
}

fn stale() -> Refusal {
    let text =
        "cadence internal uncategorized error, msg: code:unknown message:maximum attempts exceeded to update history";
    Refusal::plain(tonic::Code::Unknown, text)
}
