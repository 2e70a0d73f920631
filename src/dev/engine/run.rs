//! One run of a workflow: what it has scheduled, and how it goes on when something happens.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::activity::{Activity, Closing, Ending, Phase};
use super::agenda::{Agenda, Due, Ready};
use super::clock;
use super::history::{DECIDER, History, named, seconds};
use super::plan::{ActivityPlan, Plan};
use super::state::Domain;
use super::token::Claims;
use crate::cadence::api::{self, WorkflowExecutionCloseStatus as CloseStatus, history_event::Attributes};

/// What a run is started with.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) workflow_id: String,
    pub(super) workflow_type: String,
    pub(super) task_list: String,
    pub(super) input: Bytes,
    pub(super) plan: Plan,
    pub(super) timeout_seconds: u32,
    pub(super) identity: String,
    pub(super) request_id: String,
}

#[derive(Debug)]
pub(super) struct Run {
    pub(super) index: usize,
    pub(super) domain: usize,
    pub(super) domain_id: Arc<str>,
    pub(super) domain_name: Arc<str>,
    pub(super) run_id: Uuid,
    pub(super) start: Start,
    pub(super) started: SystemTime,
    pub(super) closed: Option<(CloseStatus, SystemTime)>,
    pub(super) history: History,
    /// In the order of their schedule ids.
    pub(super) activities: Vec<Activity>,
    pub(super) by_id: HashMap<String, usize>,
    upcoming: VecDeque<ActivityPlan>,
    open: usize,
    pub(super) cancel_requested: bool,
    /// Told about every new event.
    pub(super) changed: Arc<Notify>,
}

impl Run {
    pub(super) fn begin(index: usize, domain: usize, of: &Domain, start: Start, agenda: &mut Agenda) -> Run {
        let mut run = Run {
            index,
            domain,
            domain_id: Arc::clone(&of.id),
            domain_name: Arc::clone(&of.name),
            run_id: Uuid::new_v4(),
            upcoming: start.plan.activities.iter().cloned().collect(),
            start,
            started: clock::now(),
            closed: None,
            history: History::default(),
            activities: Vec::new(),
            by_id: HashMap::new(),
            open: 0,
            cancel_requested: false,
            changed: Arc::default(),
        };
        run.history.begin();
        run.record_start();
        agenda.at(Instant::now() + Duration::from_secs(u64::from(run.start.timeout_seconds)), index, Due::RunTimeout);
        run.go_on(agenda);
        run
    }

    fn record_start(&mut self) {
        let run_id = self.run_id.to_string();
        self.history.record(Attributes::WorkflowExecutionStartedEventAttributes(
            api::WorkflowExecutionStartedEventAttributes {
                workflow_type: Some(api::WorkflowType { name: self.start.workflow_type.clone() }),
                task_list: Some(named(&self.start.task_list)),
                input: Some(api::Payload { data: self.start.input.clone() }),
                execution_start_to_close_timeout: Some(seconds(self.start.timeout_seconds)),
                task_start_to_close_timeout: Some(seconds(10)),
                original_execution_run_id: run_id.clone(),
                first_execution_run_id: run_id,
                identity: self.start.identity.clone(),
                request_id: self.start.request_id.clone(),
                ..Default::default()
            },
        ));
    }

    /// Takes the next decision: schedules what is next, or closes the workflow when nothing is left.
    fn go_on(&mut self, agenda: &mut Agenda) {
        let decision = self.history.decide(&self.start.task_list);
        if self.cancel_requested {
            self.cancel_open(decision, agenda);
        } else {
            let wanted = if self.start.plan.sequential { usize::from(self.open == 0) } else { self.upcoming.len() };
            for plan in self.upcoming.drain(..wanted.min(self.upcoming.len())).collect::<Vec<_>>() {
                self.schedule(plan, decision, agenda);
            }
        }
        if self.open == 0 && (self.cancel_requested || !self.start.plan.stay_open) {
            self.finish(decision);
        }
        self.changed.notify_waiters();
    }

    fn schedule(&mut self, plan: ActivityPlan, decision: i64, agenda: &mut Agenda) {
        let now = clock::now();
        let attributes = Attributes::ActivityTaskScheduledEventAttributes(self.scheduled(&plan, decision));
        let schedule_id = self.history.record_at(attributes, now);
        self.by_id.insert(plan.activity_id.clone(), self.activities.len());
        self.activities.push(Activity::new(plan, schedule_id, now));
        self.open += 1;
        agenda.offer(self.domain, &self.start.task_list, Ready { run: self.index, schedule_id, attempt: 0 });
    }

    fn scheduled(&self, plan: &ActivityPlan, decision: i64) -> api::ActivityTaskScheduledEventAttributes {
        let retry_policy = plan.retry.as_ref().map(|retry| api::RetryPolicy {
            initial_interval: Some(seconds(retry.initial_interval_seconds)),
            backoff_coefficient: retry.backoff,
            maximum_attempts: retry.max_attempts,
            non_retryable_error_reasons: retry.non_retriable.clone(),
            ..Default::default()
        });
        api::ActivityTaskScheduledEventAttributes {
            activity_id: plan.activity_id.clone(),
            activity_type: Some(api::ActivityType { name: plan.activity_type.clone() }),
            task_list: Some(named(&self.start.task_list)),
            input: plan.encoded_input().map(|data| api::Payload { data }),
            schedule_to_close_timeout: Some(seconds(self.start.timeout_seconds)),
            schedule_to_start_timeout: Some(seconds(self.start.timeout_seconds)),
            start_to_close_timeout: Some(seconds(plan.start_to_close_seconds)),
            heartbeat_timeout: Some(seconds(plan.heartbeat_seconds)),
            decision_task_completed_event_id: decision,
            retry_policy,
            ..Default::default()
        }
    }

    /// Asks every open activity to stop. One that no worker has is closed on the spot.
    fn cancel_open(&mut self, decision: i64, _agenda: &mut Agenda) {
        for place in 0..self.activities.len() {
            let activity = &mut self.activities[place];
            if !activity.is_pending() || activity.cancel_requested.is_some() {
                continue;
            }
            let requested = self.history.record(Attributes::ActivityTaskCancelRequestedEventAttributes(
                api::ActivityTaskCancelRequestedEventAttributes {
                    activity_id: activity.plan.activity_id.clone(),
                    decision_task_completed_event_id: decision,
                },
            ));
            activity.cancel_requested = Some(requested);
            if activity.started().is_none() {
                let details = Some(Bytes::from_static(b"ACTIVITY_ID_NOT_STARTED"));
                self.record_closing(place, Ending::Canceled, DECIDER, details, None);
            }
        }
    }

    fn finish(&mut self, decision: i64) {
        let status = if self.cancel_requested { CloseStatus::Canceled } else { CloseStatus::Completed };
        let attributes = if self.cancel_requested {
            Attributes::WorkflowExecutionCanceledEventAttributes(api::WorkflowExecutionCanceledEventAttributes {
                decision_task_completed_event_id: decision,
                details: None,
            })
        } else {
            Attributes::WorkflowExecutionCompletedEventAttributes(api::WorkflowExecutionCompletedEventAttributes {
                result: Some(api::Payload { data: self.summary() }),
                decision_task_completed_event_id: decision,
            })
        };
        self.history.record(attributes);
        self.closed = Some((status, clock::now()));
    }

    /// The workflow's result: how each activity ended.
    fn summary(&self) -> Bytes {
        let lines = self.activities.iter().filter_map(|activity| match &activity.phase {
            Phase::Closed(closing) => Some(serde_json::json!({
                "activity_id": activity.plan.activity_id,
                "ending": format!("{:?}", closing.ending),
            })),
            _ => None,
        });
        Bytes::from(serde_json::Value::from_iter(lines).to_string())
    }

    /// Closes an activity and lets the workflow go on.
    pub(super) fn close(
        &mut self,
        place: usize,
        ending: Ending,
        identity: &str,
        payload: Option<Bytes>,
        reason: Option<String>,
        agenda: &mut Agenda,
    ) {
        self.history.begin();
        self.record_closing(place, ending, identity, payload, reason);
        self.go_on(agenda);
    }

    fn record_closing(
        &mut self,
        place: usize,
        ending: Ending,
        identity: &str,
        payload: Option<Bytes>,
        reason: Option<String>,
    ) {
        let started = self.record_started(place);
        let closing = Closing { ending, event_id: 0, identity: identity.to_owned(), payload, reason };
        let attributes = closing_event(&self.activities[place], started, &closing);
        let event_id = self.history.record(attributes);
        self.activities[place].phase = Phase::Closed(Closing { event_id, ..closing });
        self.open -= 1;
    }

    /// The id of the started event, written now if the activity could be repeated until now.
    fn record_started(&mut self, place: usize) -> i64 {
        let activity = &self.activities[place];
        let Some(started) = activity.started() else { return super::token::BY_ID };
        if let Some(event_id) = started.event_id {
            return event_id;
        }
        let attributes = started_event(activity, &started.worker);
        self.history.record_at(attributes, started.time)
    }

    /// Asks the workflow to stop.
    pub(super) fn request_cancel(&mut self, identity: &str, cause: &str, request_id: &str, agenda: &mut Agenda) {
        self.history.begin();
        self.cancel_requested = true;
        self.history.record(Attributes::WorkflowExecutionCancelRequestedEventAttributes(
            api::WorkflowExecutionCancelRequestedEventAttributes {
                cause: cause.to_owned(),
                identity: identity.to_owned(),
                request_id: request_id.to_owned(),
                external_execution_info: None,
            },
        ));
        self.go_on(agenda);
    }

    /// Asks one activity to stop, as workflow code would. `false` if it is not open.
    pub(super) fn request_activity_cancel(&mut self, activity_id: &str) -> bool {
        let Some(&place) = self.by_id.get(activity_id) else { return false };
        if self.closed.is_some() || !self.activities[place].is_pending() {
            return false;
        }
        self.history.begin();
        let decision = self.history.decide(&self.start.task_list);
        let requested = self.history.record(Attributes::ActivityTaskCancelRequestedEventAttributes(
            api::ActivityTaskCancelRequestedEventAttributes {
                activity_id: activity_id.to_owned(),
                decision_task_completed_event_id: decision,
            },
        ));
        self.activities[place].cancel_requested.get_or_insert(requested);
        if self.activities[place].started().is_none() {
            let details = Some(Bytes::from_static(b"ACTIVITY_ID_NOT_STARTED"));
            self.record_closing(place, Ending::Canceled, DECIDER, details, None);
        }
        self.changed.notify_waiters();
        true
    }

    /// Completes the workflow by a decision of its own, open activities or not. `false` if it is closed.
    pub(super) fn complete(&mut self) -> bool {
        if self.closed.is_some() {
            return false;
        }
        self.history.begin();
        let decision = self.history.decide(&self.start.task_list);
        self.finish(decision);
        self.changed.notify_waiters();
        true
    }

    /// Closes the run at once; its activities stay as they are.
    pub(super) fn cut_off(&mut self, status: CloseStatus, event: Attributes) {
        self.history.begin();
        self.history.record(event);
        self.closed = Some((status, clock::now()));
        self.changed.notify_waiters();
    }

    /// What a token of an attempt says.
    pub(super) fn claims(&self, activity: &Activity) -> Claims {
        Claims {
            domain_id: self.domain_id.to_string(),
            workflow_id: self.start.workflow_id.clone(),
            workflow_type: self.start.workflow_type.clone(),
            run_id: self.run_id.to_string(),
            schedule_id: activity.schedule_id,
            attempt: i64::from(activity.attempt),
            activity_id: activity.plan.activity_id.clone(),
            activity_type: activity.plan.activity_type.clone(),
        }
    }
}

pub(super) fn started_event(activity: &Activity, worker: &str) -> Attributes {
    Attributes::ActivityTaskStartedEventAttributes(api::ActivityTaskStartedEventAttributes {
        scheduled_event_id: activity.schedule_id,
        identity: worker.to_owned(),
        request_id: Uuid::new_v4().to_string(),
        attempt: activity.attempt,
        last_failure: activity.last_failure.clone(),
    })
}

fn closing_event(activity: &Activity, started_event_id: i64, closing: &Closing) -> Attributes {
    let scheduled_event_id = activity.schedule_id;
    let identity = closing.identity.clone();
    let payload = closing.payload.clone().map(|data| api::Payload { data });
    match closing.ending {
        Ending::Completed => {
            Attributes::ActivityTaskCompletedEventAttributes(api::ActivityTaskCompletedEventAttributes {
                result: payload,
                scheduled_event_id,
                started_event_id,
                identity,
            })
        }
        Ending::Failed => {
            let failure = api::Failure {
                reason: closing.reason.clone().unwrap_or_default(),
                details: closing.payload.clone().unwrap_or_default(),
            };
            Attributes::ActivityTaskFailedEventAttributes(api::ActivityTaskFailedEventAttributes {
                failure: Some(failure),
                scheduled_event_id,
                started_event_id,
                identity,
            })
        }
        Ending::Canceled => Attributes::ActivityTaskCanceledEventAttributes(api::ActivityTaskCanceledEventAttributes {
            details: payload,
            latest_cancel_requested_event_id: activity.cancel_requested.unwrap_or_default(),
            scheduled_event_id,
            started_event_id,
            identity,
        }),
        Ending::StartToClose | Ending::HeartbeatMissed => {
            let kind = if closing.ending == Ending::StartToClose {
                api::TimeoutType::StartToClose
            } else {
                api::TimeoutType::Heartbeat
            };
            Attributes::ActivityTaskTimedOutEventAttributes(api::ActivityTaskTimedOutEventAttributes {
                details: payload,
                scheduled_event_id,
                started_event_id,
                timeout_type: kind as i32,
                last_failure: activity.last_failure.clone(),
            })
        }
    }
}
