//! The calls the engine answers.

use std::sync::atomic::{AtomicU64, Ordering};

/// A call of Cadence's gRPC surface that the engine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum Method {
    /// `WorkerAPI/RespondActivityTaskCompleted`
    Completed,
    /// `WorkerAPI/RespondActivityTaskCompletedByID`
    CompletedById,
    /// `WorkerAPI/RespondActivityTaskFailed`
    Failed,
    /// `WorkerAPI/RespondActivityTaskFailedByID`
    FailedById,
    /// `WorkerAPI/RespondActivityTaskCanceled`
    Canceled,
    /// `WorkerAPI/RespondActivityTaskCanceledByID`
    CanceledById,
    /// `WorkerAPI/RecordActivityTaskHeartbeat`
    Heartbeat,
    /// `WorkerAPI/RecordActivityTaskHeartbeatByID`
    HeartbeatById,
    /// `WorkerAPI/PollForActivityTask`
    PollForActivityTask,
    /// `WorkflowAPI/StartWorkflowExecution`
    StartWorkflow,
    /// `WorkflowAPI/RequestCancelWorkflowExecution`
    RequestCancelWorkflow,
    /// `WorkflowAPI/TerminateWorkflowExecution`
    TerminateWorkflow,
    /// `WorkflowAPI/DescribeWorkflowExecution`
    DescribeWorkflow,
    /// `WorkflowAPI/GetWorkflowExecutionHistory`
    WorkflowHistory,
    /// `DomainAPI/RegisterDomain`
    RegisterDomain,
    /// `DomainAPI/DescribeDomain`
    DescribeDomain,
    /// `MetaAPI/Health`
    Health,
}

impl Method {
    /// Every method, in declaration order.
    pub const ALL: [Method; 17] = [
        Method::Completed,
        Method::CompletedById,
        Method::Failed,
        Method::FailedById,
        Method::Canceled,
        Method::CanceledById,
        Method::Heartbeat,
        Method::HeartbeatById,
        Method::PollForActivityTask,
        Method::StartWorkflow,
        Method::RequestCancelWorkflow,
        Method::TerminateWorkflow,
        Method::DescribeWorkflow,
        Method::WorkflowHistory,
        Method::RegisterDomain,
        Method::DescribeDomain,
        Method::Health,
    ];

    /// The HTTP/2 path of the call.
    pub fn path(self) -> &'static str {
        match self {
            Method::Completed => "/uber.cadence.api.v1.WorkerAPI/RespondActivityTaskCompleted",
            Method::CompletedById => "/uber.cadence.api.v1.WorkerAPI/RespondActivityTaskCompletedByID",
            Method::Failed => "/uber.cadence.api.v1.WorkerAPI/RespondActivityTaskFailed",
            Method::FailedById => "/uber.cadence.api.v1.WorkerAPI/RespondActivityTaskFailedByID",
            Method::Canceled => "/uber.cadence.api.v1.WorkerAPI/RespondActivityTaskCanceled",
            Method::CanceledById => "/uber.cadence.api.v1.WorkerAPI/RespondActivityTaskCanceledByID",
            Method::Heartbeat => "/uber.cadence.api.v1.WorkerAPI/RecordActivityTaskHeartbeat",
            Method::HeartbeatById => "/uber.cadence.api.v1.WorkerAPI/RecordActivityTaskHeartbeatByID",
            Method::PollForActivityTask => "/uber.cadence.api.v1.WorkerAPI/PollForActivityTask",
            Method::StartWorkflow => "/uber.cadence.api.v1.WorkflowAPI/StartWorkflowExecution",
            Method::RequestCancelWorkflow => "/uber.cadence.api.v1.WorkflowAPI/RequestCancelWorkflowExecution",
            Method::TerminateWorkflow => "/uber.cadence.api.v1.WorkflowAPI/TerminateWorkflowExecution",
            Method::DescribeWorkflow => "/uber.cadence.api.v1.WorkflowAPI/DescribeWorkflowExecution",
            Method::WorkflowHistory => "/uber.cadence.api.v1.WorkflowAPI/GetWorkflowExecutionHistory",
            Method::RegisterDomain => "/uber.cadence.api.v1.DomainAPI/RegisterDomain",
            Method::DescribeDomain => "/uber.cadence.api.v1.DomainAPI/DescribeDomain",
            Method::Health => "/uber.cadence.api.v1.MetaAPI/Health",
        }
    }

    /// The method of an HTTP/2 path, if the engine answers it.
    pub fn from_path(path: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.path() == path)
    }

    /// Whether the call tells what became of an activity, or that it is alive.
    pub fn is_answer(self) -> bool {
        self <= Method::HeartbeatById
    }

    /// Whether the call needs the part of a Cadence cluster that decides about workflows.
    pub(super) fn needs_history(self) -> bool {
        !matches!(self, Method::PollForActivityTask | Method::RegisterDomain | Method::DescribeDomain | Method::Health)
    }
}

/// How often each method was called, refused calls included.
#[derive(Debug, Default)]
pub(super) struct Calls([AtomicU64; Method::ALL.len()]);

impl Calls {
    pub(super) fn count(&self, method: Method) {
        self.0[method as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> [u64; Method::ALL.len()] {
        std::array::from_fn(|index| self.0[index].load(Ordering::Relaxed))
    }
}
