//! Starting and stopping workflows, handing out attempts, and domains.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::Code;

use super::core::Core;
use super::plan::Plan;
use super::refusal::Refusal;
use super::run::Start;
use super::token::uuid;
use super::yarpc::Call;
use crate::cadence::api::{
    self, WorkflowExecutionCloseStatus as CloseStatus, WorkflowIdReusePolicy as Reuse,
    describe_domain_request::DescribeBy, history_event::Attributes,
};

/// Shortest deadline of a poll.
const MIN_POLL: Duration = Duration::from_secs(2);
/// How long before its deadline a poll without a task is answered.
const POLL_MARGIN: Duration = Duration::from_secs(1);
/// How long a poll is parked at most.
const MAX_POLL: Duration = Duration::from_secs(60);

impl Core {
    pub(super) async fn poll(
        &self,
        call: &Call,
        poll: api::PollForActivityTaskRequest,
    ) -> Result<api::PollForActivityTaskResponse, Refusal> {
        let domain = self.lock().domain_named(&poll.domain)?;
        let now = Instant::now();
        if call.deadline < now + MIN_POLL {
            return Err(Refusal::bad_request("Context timeout is too short."));
        }
        let task_list = task_list_name(poll.task_list)?;
        let arrivals = self.lock().agenda.arrivals(domain, &task_list);
        let until = (call.deadline - POLL_MARGIN).min(now + MAX_POLL);
        loop {
            if let Some(task) = self.lock().take(domain, &task_list, &poll.identity) {
                return Ok(task);
            }
            if timeout_at(until, arrivals.notified()).await.is_err() {
                return Ok(api::PollForActivityTaskResponse::default());
            }
        }
    }

    pub(super) async fn start(
        &self,
        call: &Call,
        request: api::StartWorkflowExecutionRequest,
    ) -> Result<api::StartWorkflowExecutionResponse, Refusal> {
        let domain = self.lock().domain_named(&request.domain)?;
        let policy = Reuse::try_from(request.workflow_id_reuse_policy).unwrap_or(Reuse::Invalid);
        let start = read_start(request)?;
        self.reach_history(call).await?;
        let run_id = self.lock().start(domain, start, policy)?;
        Ok(api::StartWorkflowExecutionResponse { run_id: run_id.to_string() })
    }

    pub(super) async fn request_cancel(
        &self,
        call: &Call,
        cancel: api::RequestCancelWorkflowExecutionRequest,
    ) -> Result<(), Refusal> {
        let (domain, of) = self.execution(&cancel.domain, cancel.workflow_execution)?;
        self.reach_history(call).await?;
        let mut state = self.lock();
        let state = &mut *state;
        let index = state.run(domain, &of.workflow_id, &of.run_id)?;
        let run = &mut state.runs[index];
        if run.closed.is_some() {
            return Err(Refusal::entity_not_exists("Workflow execution already completed."));
        }
        if run.cancel_requested {
            let text = "cancellation already requested for this workflow execution";
            let detail = api::CancellationAlreadyRequestedError {};
            return Err(Refusal::typed(Code::AlreadyExists, text, "CancellationAlreadyRequestedError", &detail));
        }
        run.request_cancel(&cancel.identity, &cancel.cause, &cancel.request_id, &mut state.agenda);
        Ok(())
    }

    pub(super) async fn terminate(
        &self,
        call: &Call,
        terminate: api::TerminateWorkflowExecutionRequest,
    ) -> Result<(), Refusal> {
        let (domain, of) = self.execution(&terminate.domain, terminate.workflow_execution)?;
        self.reach_history(call).await?;
        let mut state = self.lock();
        let index = state.run(domain, &of.workflow_id, &of.run_id)?;
        let run = &mut state.runs[index];
        if run.closed.is_some() {
            return Err(Refusal::entity_not_exists("Workflow execution already completed."));
        }
        let event = api::WorkflowExecutionTerminatedEventAttributes {
            reason: terminate.reason,
            details: terminate.details,
            identity: terminate.identity,
        };
        run.cut_off(CloseStatus::Terminated, Attributes::WorkflowExecutionTerminatedEventAttributes(event));
        Ok(())
    }

    pub(super) fn describe_domain(
        &self,
        request: api::DescribeDomainRequest,
    ) -> Result<api::DescribeDomainResponse, Refusal> {
        let state = self.lock();
        let index = match request.describe_by {
            Some(DescribeBy::Name(name)) if !name.is_empty() => state.domain_named(&name)?,
            Some(DescribeBy::Id(id)) => state.domain_with_id(&id)?,
            _ => return Err(Refusal::bad_request("Domain not set on request.")),
        };
        let domain = &state.domains[index];
        Ok(api::DescribeDomainResponse {
            domain: Some(api::Domain {
                id: domain.id.to_string(),
                name: domain.name.to_string(),
                status: api::DomainStatus::Registered as i32,
                workflow_execution_retention_period: domain.retention,
                active_cluster_name: "cluster0".to_owned(),
                ..Default::default()
            }),
        })
    }

    /// The domain and the execution that a request names.
    pub(super) fn execution(
        &self,
        domain: &str,
        execution: Option<api::WorkflowExecution>,
    ) -> Result<(usize, api::WorkflowExecution), Refusal> {
        let domain = self.lock().domain_named(domain)?;
        let Some(execution) = execution else {
            return Err(Refusal::bad_request("Execution is not set on request."));
        };
        if execution.workflow_id.is_empty() {
            return Err(Refusal::bad_request("WorkflowId is not set on request."));
        }
        if !execution.run_id.is_empty() && uuid(&execution.run_id).is_none() {
            return Err(Refusal::bad_request("Invalid RunId."));
        }
        Ok((domain, execution))
    }
}

fn task_list_name(task_list: Option<api::TaskList>) -> Result<String, Refusal> {
    let name = task_list.map(|list| list.name).filter(|name| !name.is_empty());
    name.ok_or_else(|| Refusal::bad_request("TaskList is not set on request."))
}

fn read_start(request: api::StartWorkflowExecutionRequest) -> Result<Start, Refusal> {
    let set = |duration: Option<prost_types::Duration>| duration.map_or(0, |duration| duration.seconds);
    if request.workflow_id.is_empty() {
        return Err(Refusal::bad_request("WorkflowId is not set on request."));
    }
    if uuid(&request.request_id).is_none() {
        return Err(Refusal::bad_request(format!("requestId {:?} is not a valid UUID", request.request_id)));
    }
    let workflow_type = request.workflow_type.map(|of| of.name).filter(|name| !name.is_empty());
    let Some(workflow_type) = workflow_type else {
        return Err(Refusal::bad_request("WorkflowType is not set on request."));
    };
    let task_list = task_list_name(request.task_list)?;
    let timeout = set(request.execution_start_to_close_timeout);
    if timeout <= 0 {
        return Err(Refusal::bad_request("A valid ExecutionStartToCloseTimeoutSeconds is not set on request."));
    }
    if set(request.task_start_to_close_timeout) <= 0 {
        return Err(Refusal::bad_request("A valid TaskStartToCloseTimeoutSeconds is not set on request."));
    }
    let input = request.input.map(|payload| payload.data).unwrap_or_default();
    let plan = Plan::read(&input)
        .map_err(|fault| Refusal::bad_request(format!("the input is not a plan of activities: {fault}")))?;
    Ok(Start {
        workflow_id: request.workflow_id,
        workflow_type,
        task_list,
        input,
        plan,
        timeout_seconds: u32::try_from(timeout).unwrap_or(u32::MAX),
        identity: request.identity,
        request_id: request.request_id,
    })
}
