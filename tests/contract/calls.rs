//! The eight calls that say what became of an activity, and the messages of the others.

use bytes::Bytes;
use handback::cadence::api;
use prost::Message;

use super::stage::{Attempt, Workflow};

pub(crate) const START: &str = "/uber.cadence.api.v1.WorkflowAPI/StartWorkflowExecution";
pub(crate) const HISTORY: &str = "/uber.cadence.api.v1.WorkflowAPI/GetWorkflowExecutionHistory";

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Complete,
    Fail,
    Cancel,
    Heartbeat,
}

/// How the activity is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Token,
    ById,
}

pub(crate) const VERBS: [Verb; 4] = [Verb::Complete, Verb::Fail, Verb::Cancel, Verb::Heartbeat];
pub(crate) const FORMS: [Form; 2] = [Form::Token, Form::ById];

/// One respond or heartbeat call.
#[derive(Clone, Debug)]
pub(crate) struct Say {
    pub(crate) verb: Verb,
    pub(crate) form: Form,
    pub(crate) identity: String,
    /// Result, failure details, cancel details or heartbeat details; `None` leaves the field out.
    pub(crate) payload: Option<Bytes>,
    /// Reason of a failure; `None` leaves the whole failure out.
    pub(crate) reason: Option<String>,
}

impl Say {
    pub(crate) fn new(verb: Verb, form: Form) -> Say {
        Say {
            verb,
            form,
            identity: "contract-caller".to_owned(),
            payload: Some(Bytes::from_static(b"{\"n\":1}")),
            reason: Some("contract-reason".to_owned()),
        }
    }

    pub(crate) fn identity(self, identity: impl Into<String>) -> Say {
        Say { identity: identity.into(), ..self }
    }

    pub(crate) fn payload(self, payload: Option<Bytes>) -> Say {
        Say { payload, ..self }
    }

    pub(crate) fn reason(self, reason: Option<&str>) -> Say {
        Say { reason: reason.map(str::to_owned), ..self }
    }

    /// Method name, as in the RPC.
    pub(crate) fn method(&self) -> String {
        let base = match self.verb {
            Verb::Complete => "RespondActivityTaskCompleted",
            Verb::Fail => "RespondActivityTaskFailed",
            Verb::Cancel => "RespondActivityTaskCanceled",
            Verb::Heartbeat => "RecordActivityTaskHeartbeat",
        };
        let suffix = if self.form == Form::ById { "ByID" } else { "" };
        format!("{base}{suffix}")
    }

    pub(crate) fn path(&self) -> String {
        format!("/uber.cadence.api.v1.WorkerAPI/{}", self.method())
    }

    /// The message, addressed to an attempt.
    pub(crate) fn to(&self, attempt: &Attempt) -> Bytes {
        let payload = self.payload.clone().map(|data| api::Payload { data });
        let details = self.payload.clone().unwrap_or_default();
        let failure = self.reason.clone().map(|reason| api::Failure { reason, details });
        let message = match self.form {
            Form::Token => self.by_token(attempt, payload, failure),
            Form::ById => self.by_id(attempt, payload, failure),
        };
        message.into()
    }

    fn by_token(&self, to: &Attempt, payload: Option<api::Payload>, failure: Option<api::Failure>) -> Vec<u8> {
        let (task_token, identity) = (to.token.clone(), self.identity.clone());
        match self.verb {
            Verb::Complete => {
                api::RespondActivityTaskCompletedRequest { task_token, result: payload, identity }.encode_to_vec()
            }
            Verb::Fail => api::RespondActivityTaskFailedRequest { task_token, failure, identity }.encode_to_vec(),
            Verb::Cancel => {
                api::RespondActivityTaskCanceledRequest { task_token, details: payload, identity }.encode_to_vec()
            }
            Verb::Heartbeat => {
                api::RecordActivityTaskHeartbeatRequest { task_token, details: payload, identity }.encode_to_vec()
            }
        }
    }

    fn by_id(&self, to: &Attempt, payload: Option<api::Payload>, failure: Option<api::Failure>) -> Vec<u8> {
        let (domain, activity_id, identity) = (to.domain.clone(), to.activity_id.clone(), self.identity.clone());
        let workflow_execution = Some(execution(&to.workflow_id, &to.run_id));
        match self.verb {
            Verb::Complete => api::RespondActivityTaskCompletedByIdRequest {
                domain,
                workflow_execution,
                activity_id,
                result: payload,
                identity,
            }
            .encode_to_vec(),
            Verb::Fail => {
                api::RespondActivityTaskFailedByIdRequest { domain, workflow_execution, activity_id, failure, identity }
                    .encode_to_vec()
            }
            Verb::Cancel => api::RespondActivityTaskCanceledByIdRequest {
                domain,
                workflow_execution,
                activity_id,
                details: payload,
                identity,
            }
            .encode_to_vec(),
            Verb::Heartbeat => api::RecordActivityTaskHeartbeatByIdRequest {
                domain,
                workflow_execution,
                activity_id,
                details: payload,
                identity,
            }
            .encode_to_vec(),
        }
    }
}

pub(crate) fn execution(workflow_id: &str, run_id: &str) -> api::WorkflowExecution {
    api::WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: run_id.to_owned() }
}

pub(crate) fn task_list(name: &str) -> api::TaskList {
    api::TaskList { name: name.to_owned(), kind: api::TaskListKind::Normal as i32, ..Default::default() }
}

pub(crate) fn seconds(seconds: u32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: i64::from(seconds), nanos: 0 })
}

/// A whole history in one page.
pub(crate) fn history(of: &Workflow) -> api::GetWorkflowExecutionHistoryRequest {
    api::GetWorkflowExecutionHistoryRequest {
        domain: of.domain.clone(),
        workflow_execution: Some(execution(&of.workflow_id, &of.run_id)),
        ..Default::default()
    }
}

/// A sound request to start a workflow.
pub(crate) fn start(
    domain: &str,
    workflow_id: &str,
    list: &str,
    input: Bytes,
    timeout: u32,
) -> api::StartWorkflowExecutionRequest {
    api::StartWorkflowExecutionRequest {
        domain: domain.to_owned(),
        workflow_id: workflow_id.to_owned(),
        workflow_type: Some(api::WorkflowType { name: "contract".to_owned() }),
        task_list: Some(task_list(list)),
        input: Some(api::Payload { data: input }),
        execution_start_to_close_timeout: seconds(timeout),
        task_start_to_close_timeout: seconds(10),
        identity: "contract".to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
        workflow_id_reuse_policy: api::WorkflowIdReusePolicy::AllowDuplicate as i32,
        ..Default::default()
    }
}
