//! Looking into a workflow: describe, then history forward, in the bridge's plain words.

use std::sync::Arc;

use prost::Message;
use tonic::Code;
use tonic::transport::Channel;

use super::api::workflow_api_client::WorkflowApiClient;
use super::api::{self, history_event::Attributes};
use super::client::Client;
use super::line::Line;
use super::status::code_name;
use crate::admin::EngineMethod;
use crate::bridge::seams::{CallError, Verdict};
use crate::bridge::sight::{
    CloseStatus, Closing, Content, History, LastFailure, Past, Pending, PendingState, Reach, Sight, Timeout,
    WorkflowSight,
};
use crate::wire::{Action, Target};

/// Batches of events in a page at first: the engine counts batches, not events, and a batch holds up to some hundred.
const PAGE: usize = 100;

/// Largest page that is received. One with many large payloads is asked for again in smaller pieces.
const MAX_PAGE_BYTES: usize = 16 << 20;

/// Largest description that is received: it carries the heartbeat details of all open activities. The engine's own limit.
const MAX_STATE_BYTES: usize = 64 << 20;

/// A workflow by its names, as these calls want it.
struct Place {
    domain: String,
    execution: api::WorkflowExecution,
    domain_id: Option<Arc<str>>,
}

impl Client {
    pub(super) async fn look_into(&self, target: &Target, reach: Reach) -> Result<Sight, CallError> {
        let place = self.place(target).await?;
        let described = match self.describe(&place).await {
            Ok(described) => described,
            Err(error) if error.verdict == Verdict::NotFound => return Ok(Sight::Nothing),
            Err(error) => return Err(error),
        };
        let mut sight = workflow(described);
        // Names may have been used before in this run, and this very record may have closed what bore them then.
        let names_attempt = matches!(target, Target::ById(id) if id.attempt.is_some());
        if names_attempt || sight.open(target).is_none() {
            match self.history(&place, reach).await {
                Ok(history) => sight.history = Some(history),
                // Retention took it away in between.
                Err(error) if error.verdict == Verdict::NotFound => return Ok(Sight::Nothing),
                Err(error) => return Err(error),
            }
        }
        sight.domain_id = place.domain_id;
        Ok(Sight::Workflow(sight))
    }

    async fn place(&self, target: &Target) -> Result<Place, CallError> {
        let (domain, domain_id, workflow_id, run_id) = match target {
            Target::Token(token) => {
                let claims = token.claims();
                let name = self.named(claims.domain_id).await?.ok_or_else(|| unknown_domain(claims.domain_id))?;
                (name.to_string(), None, claims.workflow_id, claims.run_id)
            }
            Target::ById(id) => {
                let domain_id = match id.attempt {
                    Some(_) => {
                        let known = self.identified(&id.domain).await?;
                        Some(known.ok_or_else(|| unknown_domain(&id.domain))?)
                    }
                    None => None,
                };
                (id.domain.clone(), domain_id, &id.workflow_id[..], &id.run_id[..])
            }
        };
        let execution = api::WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: run_id.to_owned() };
        Ok(Place { domain, execution, domain_id })
    }

    fn workflows(&self, max_bytes: usize) -> (WorkflowApiClient<Channel>, Line) {
        let (channel, line) = self.channel();
        (WorkflowApiClient::new(channel).max_decoding_message_size(max_bytes), line)
    }

    async fn describe(&self, place: &Place) -> Result<api::DescribeWorkflowExecutionResponse, CallError> {
        let request = self.metadata().request(api::DescribeWorkflowExecutionRequest {
            domain: place.domain.clone(),
            workflow_execution: Some(place.execution.clone()),
            ..Default::default()
        });
        let (mut workflows, line) = self.workflows(MAX_STATE_BYTES);
        self.counted(EngineMethod::DescribeWorkflow, line, workflows.describe_workflow_execution(request)).await
    }

    /// Reads forward: there is no other way that the engine supports.
    async fn history(&self, place: &Place, reach: Reach) -> Result<History, CallError> {
        let mut history = History::default();
        let (mut next, mut batches, mut bytes) = (Vec::new(), PAGE, 0);
        for _ in 0..reach.max_pages {
            let page = match self.page(place, batches, next.clone(), reach.max_bytes).await {
                Ok(page) => page,
                Err(error) if is_too_large(&error) && batches > 1 => {
                    // A page token is good for any size of page.
                    batches = (batches / 10).max(1);
                    continue;
                }
                Err(error) if is_too_large(&error) => {
                    history.cut_short =
                        Some("its history has a batch of events larger than 16 MiB or lookup.max_bytes");
                    return Ok(history);
                }
                Err(error) => return Err(error),
            };
            bytes += page.encoded_len();
            for event in page.history.unwrap_or_default().events {
                note(&mut history.activities, event);
            }
            next = page.next_page_token;
            if next.is_empty() {
                return Ok(history);
            }
            if bytes > reach.max_bytes {
                history.cut_short = Some("its history is larger than lookup.max_bytes");
                return Ok(history);
            }
        }
        history.cut_short = Some("its history is longer than lookup.max_pages");
        Ok(history)
    }

    async fn page(
        &self,
        place: &Place,
        batches: usize,
        next_page_token: Vec<u8>,
        max_bytes: usize,
    ) -> Result<api::GetWorkflowExecutionHistoryResponse, CallError> {
        let request = self.metadata().request(api::GetWorkflowExecutionHistoryRequest {
            domain: place.domain.clone(),
            workflow_execution: Some(place.execution.clone()),
            page_size: i32::try_from(batches).unwrap_or(i32::MAX),
            next_page_token,
            ..Default::default()
        });
        let (mut workflows, line) = self.workflows(max_bytes.min(MAX_PAGE_BYTES));
        self.counted(EngineMethod::GetHistory, line, workflows.get_workflow_execution_history(request)).await
    }
}

/// Said by our own side of the connection about a message over [`MAX_PAGE_BYTES`], or by the engine about its own limit.
fn is_too_large(error: &CallError) -> bool {
    error.status == code_name(Code::OutOfRange)
        || matches!(error.verdict, Verdict::Refused(crate::wire::RefusalCode::TooLarge))
}

fn unknown_domain(domain: &str) -> CallError {
    let message = format!("Domain {domain} does not exist.");
    CallError { verdict: Verdict::UnknownDomain, status: code_name(Code::NotFound), message }
}

fn workflow(described: api::DescribeWorkflowExecutionResponse) -> WorkflowSight {
    let info = described.workflow_execution_info.unwrap_or_default();
    WorkflowSight {
        domain_id: None,
        closed: close_status(info.close_status()),
        pending: described.pending_activities.into_iter().map(pending).collect(),
        history: None,
    }
}

fn close_status(status: api::WorkflowExecutionCloseStatus) -> Option<CloseStatus> {
    use api::WorkflowExecutionCloseStatus as Status;
    Some(match status {
        Status::Invalid => return None,
        Status::Completed => CloseStatus::Completed,
        Status::Failed => CloseStatus::Failed,
        Status::Canceled => CloseStatus::Canceled,
        Status::Terminated => CloseStatus::Terminated,
        Status::ContinuedAsNew => CloseStatus::ContinuedAsNew,
        Status::TimedOut => CloseStatus::TimedOut,
    })
}

fn pending(activity: api::PendingActivityInfo) -> Pending {
    Pending {
        schedule_id: activity.schedule_id,
        state: match activity.state() {
            api::PendingActivityState::CancelRequested => PendingState::CancelRequested,
            api::PendingActivityState::Started => PendingState::Started,
            api::PendingActivityState::Scheduled | api::PendingActivityState::Invalid => PendingState::Scheduled,
        },
        attempt: i64::from(activity.attempt),
        last_failure: last_failure(activity.last_failure),
        activity_type: activity.activity_type.unwrap_or_default().name,
        activity_id: activity.activity_id,
    }
}

fn last_failure(failure: Option<api::Failure>) -> Option<LastFailure> {
    failure.map(|failure| LastFailure::of(&failure.reason, Some(failure.details)))
}

/// Writes down what an event says about an activity. Schedule ids grow from event to event.
fn note(activities: &mut Vec<Past>, event: api::HistoryEvent) {
    let (schedule_id, closing) = match event.attributes {
        Some(Attributes::ActivityTaskScheduledEventAttributes(it)) => {
            let (schedule_id, activity_id) = (event.event_id, it.activity_id);
            let fresh = Past { schedule_id, activity_id, attempt: None, last_failure: None, closing: None };
            return activities.push(fresh);
        }
        Some(Attributes::ActivityTaskStartedEventAttributes(it)) => {
            if let Some(past) = of(activities, it.scheduled_event_id) {
                past.attempt = Some(i64::from(it.attempt));
                past.last_failure = last_failure(it.last_failure);
            }
            return;
        }
        Some(Attributes::ActivityTaskCompletedEventAttributes(it)) => {
            let content = Content::completed(it.result.map(|payload| payload.data));
            (it.scheduled_event_id, answered(Action::Complete, content, it.identity))
        }
        Some(Attributes::ActivityTaskFailedEventAttributes(it)) => {
            let failure = it.failure.unwrap_or_default();
            let content = Content::failed(&failure.reason, Some(failure.details));
            (it.scheduled_event_id, answered(Action::Fail, content, it.identity))
        }
        Some(Attributes::ActivityTaskCanceledEventAttributes(it)) => {
            let content = Content::canceled(it.details.map(|payload| payload.data));
            (it.scheduled_event_id, answered(Action::Cancel, content, it.identity))
        }
        Some(Attributes::ActivityTaskTimedOutEventAttributes(it)) => {
            (it.scheduled_event_id, Closing::TimedOut(timeout(it.timeout_type())))
        }
        _ => return,
    };
    if let Some(past) = of(activities, schedule_id) {
        past.closing = Some(closing);
    }
}

fn answered(action: Action, content: Content, identity: String) -> Closing {
    Closing::Answered { action, content, identity }
}

fn of(activities: &mut [Past], schedule_id: i64) -> Option<&mut Past> {
    let place = activities.binary_search_by_key(&schedule_id, |past| past.schedule_id).ok()?;
    activities.get_mut(place)
}

fn timeout(kind: api::TimeoutType) -> Timeout {
    match kind {
        api::TimeoutType::StartToClose => Timeout::StartToClose,
        api::TimeoutType::ScheduleToStart => Timeout::ScheduleToStart,
        api::TimeoutType::ScheduleToClose => Timeout::ScheduleToClose,
        api::TimeoutType::Heartbeat => Timeout::Heartbeat,
        api::TimeoutType::Invalid => Timeout::Other,
    }
}
