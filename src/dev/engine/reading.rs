//! Looking into workflows: describe and history.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::activity::Activity;
use super::core::Core;
use super::history::{named, seconds};
use super::refusal::Refusal;
use super::run::Run;
use super::yarpc::Call;
use crate::cadence::api::{self, EventFilterType, PendingActivityState};

/// Largest page and the size that stands for none given, in batches.
const MAX_PAGE: usize = 1000;
/// How long a look at the history waits for news at most, and how long before its deadline it is answered.
const MAX_WAIT: Duration = Duration::from_secs(20);
const WAIT_MARGIN: Duration = Duration::from_millis(50);

/// Where the next page begins: everything the engine needs is in the token.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct PageToken {
    run_id: String,
    /// First event of the next page.
    from: i64,
    /// The history's next event id when the first page was read: later events are not shown.
    until: i64,
}

impl Core {
    pub(super) async fn describe(
        &self,
        call: &Call,
        request: api::DescribeWorkflowExecutionRequest,
    ) -> Result<api::DescribeWorkflowExecutionResponse, Refusal> {
        let (domain, of) = self.execution(&request.domain, request.workflow_execution)?;
        self.reach_history(call).await?;
        let state = self.lock();
        let run = &state.runs[state.run(domain, &of.workflow_id, &of.run_id)?];
        Ok(describe(run))
    }

    pub(super) async fn history(
        &self,
        call: &Call,
        request: api::GetWorkflowExecutionHistoryRequest,
    ) -> Result<api::GetWorkflowExecutionHistoryResponse, Refusal> {
        let (domain, of) = self.execution(&request.domain, request.workflow_execution)?;
        let token = page_token(&request.next_page_token, &of.run_id)?;
        self.reach_history(call).await?;
        let run_id = token.as_ref().map_or(of.run_id.as_str(), |token| token.run_id.as_str());
        let index = self.lock().run(domain, &of.workflow_id, run_id)?;
        let close_only = request.history_event_filter_type == EventFilterType::CloseEvent as i32;
        let batches = match usize::try_from(request.page_size).unwrap_or(0) {
            0 => MAX_PAGE,
            wanted => wanted.min(MAX_PAGE),
        };
        if close_only {
            return Ok(self.close_event(call, index, request.wait_for_new_event).await);
        }
        let (from, until) = match &token {
            // The caller has seen everything there was, and waits for more.
            Some(token) if token.from >= token.until => {
                self.wait_for(call, index, |run| run.closed.is_some() || run.history.next_id() > token.from).await;
                (token.from, self.lock().runs[index].history.next_id())
            }
            Some(token) => (token.from, token.until),
            None => (1, self.lock().runs[index].history.next_id()),
        };
        Ok(self.all_events(index, from, until, batches, request.wait_for_new_event))
    }

    fn all_events(
        &self,
        index: usize,
        from: i64,
        until: i64,
        batches: usize,
        waits: bool,
    ) -> api::GetWorkflowExecutionHistoryResponse {
        let state = self.lock();
        let run = &state.runs[index];
        let (events, rest) = run.history.page(from, until, batches);
        let more_may_come = waits && (run.closed.is_none() || run.history.next_id() > until);
        let next = rest.or_else(|| more_may_come.then_some(until));
        let token = next.map(|from| PageToken { run_id: run.run_id.to_string(), from, until });
        page(events, token.as_ref())
    }

    /// The closing event, for which the server waits even if it was not asked to.
    async fn close_event(&self, call: &Call, index: usize, waits: bool) -> api::GetWorkflowExecutionHistoryResponse {
        self.wait_for(call, index, |run| run.closed.is_some()).await;
        let state = self.lock();
        let run = &state.runs[index];
        if run.closed.is_some() {
            return page(run.history.last().cloned().into_iter().collect(), None);
        }
        let until = run.history.next_id();
        let token = PageToken { run_id: run.run_id.to_string(), from: until, until };
        page(Vec::new(), waits.then_some(&token))
    }

    async fn wait_for(&self, call: &Call, index: usize, done: impl Fn(&Run) -> bool) {
        let until = (call.deadline - WAIT_MARGIN).min(Instant::now() + MAX_WAIT);
        loop {
            let changed = std::sync::Arc::clone(&self.lock().runs[index].changed);
            let mut changed = std::pin::pin!(changed.notified());
            // From here on no event is missed, so the look that follows may say "not yet".
            changed.as_mut().enable();
            if done(&self.lock().runs[index]) || timeout_at(until, changed).await.is_err() {
                return;
            }
        }
    }
}

fn page_token(token: &[u8], run_id: &str) -> Result<Option<PageToken>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let read: PageToken = serde_json::from_slice(token).map_err(|_| Refusal::bad_request("Invalid NextPageToken."))?;
    if !run_id.is_empty() && run_id != read.run_id {
        return Err(Refusal::bad_request("RunID in the request does not match the NextPageToken."));
    }
    Ok(Some(read))
}

fn page(events: Vec<api::HistoryEvent>, token: Option<&PageToken>) -> api::GetWorkflowExecutionHistoryResponse {
    api::GetWorkflowExecutionHistoryResponse {
        history: Some(api::History { events }),
        raw_history: Vec::new(),
        // A struct of plain fields always has a JSON form.
        next_page_token: token.and_then(|token| serde_json::to_vec(token).ok()).unwrap_or_default(),
        archived: false,
    }
}

fn describe(run: &Run) -> api::DescribeWorkflowExecutionResponse {
    let pending = run.activities.iter().filter(|activity| activity.is_pending());
    api::DescribeWorkflowExecutionResponse {
        execution_configuration: Some(api::WorkflowExecutionConfiguration {
            task_list: Some(named(&run.start.task_list)),
            execution_start_to_close_timeout: Some(seconds(run.start.timeout_seconds)),
            task_start_to_close_timeout: Some(seconds(10)),
        }),
        workflow_execution_info: Some(api::WorkflowExecutionInfo {
            workflow_execution: Some(api::WorkflowExecution {
                workflow_id: run.start.workflow_id.clone(),
                run_id: run.run_id.to_string(),
            }),
            r#type: Some(api::WorkflowType { name: run.start.workflow_type.clone() }),
            start_time: Some(run.started.into()),
            close_time: run.closed.map(|(_, time)| time.into()),
            close_status: run.closed.map_or(0, |(status, _)| status as i32),
            history_length: run.history.next_id() - 1,
            task_list: run.start.task_list.clone(),
            ..Default::default()
        }),
        pending_activities: pending.map(describe_activity).collect(),
        pending_children: Vec::new(),
        pending_decision: None,
    }
}

fn describe_activity(activity: &Activity) -> api::PendingActivityInfo {
    let started = activity.started();
    let state = match (activity.cancel_requested, started) {
        (Some(_), _) => PendingActivityState::CancelRequested,
        (None, Some(_)) => PendingActivityState::Started,
        (None, None) => PendingActivityState::Scheduled,
    };
    api::PendingActivityInfo {
        activity_id: activity.plan.activity_id.clone(),
        activity_type: Some(api::ActivityType { name: activity.plan.activity_type.clone() }),
        state: state as i32,
        heartbeat_details: activity.heartbeat_details.clone().map(|data| api::Payload { data }),
        last_heartbeat_time: activity.last_heartbeat.map(|(_, time)| time.into()),
        last_started_time: started.map(|started| started.time.into()),
        attempt: activity.attempt,
        maximum_attempts: activity.plan.retry.as_ref().map_or(0, |retry| retry.max_attempts),
        scheduled_time: Some(activity.attempt_scheduled_time.into()),
        expiration_time: None,
        last_failure: activity.last_failure.clone().filter(|failure| !failure.reason.is_empty()),
        last_worker_identity: activity.last_worker.clone(),
        started_worker_identity: started
            // The real server remembers the worker only while the started event is not in history.
            .filter(|started| started.event_id.is_none())
            .map(|started| started.worker.clone())
            .unwrap_or_default(),
        schedule_id: activity.schedule_id,
    }
}
