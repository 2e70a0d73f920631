//! Request messages from a target, an answer and an identity.

use bytes::Bytes;

use super::api;
use crate::wire::{ActivityId, Answer, Failure};

/// A run that cannot exist: the nil UUID is well-formed and never assigned.
const NO_RUN: &str = "00000000-0000-0000-0000-000000000000";

/// No payload is an absent field, never empty bytes: the engine's clients cannot decode empty bytes.
fn payload(answer: &Answer) -> Option<api::Payload> {
    answer.engine_payload().map(|data| api::Payload { data })
}

fn execution(id: &ActivityId) -> Option<api::WorkflowExecution> {
    Some(api::WorkflowExecution { workflow_id: id.workflow_id.clone(), run_id: id.run_id.clone() })
}

/// Never absent: the server would store a failure with an empty reason.
fn failure(failure: &Failure) -> Option<api::Failure> {
    let details = failure.engine_details().unwrap_or_default();
    Some(api::Failure { reason: failure.engine_reason().into_owned(), details })
}

pub(super) fn completed(
    task_token: Bytes,
    answer: &Answer,
    identity: &str,
) -> api::RespondActivityTaskCompletedRequest {
    api::RespondActivityTaskCompletedRequest { task_token, result: payload(answer), identity: identity.to_owned() }
}

pub(super) fn failed(task_token: Bytes, reason: &Failure, identity: &str) -> api::RespondActivityTaskFailedRequest {
    api::RespondActivityTaskFailedRequest { task_token, failure: failure(reason), identity: identity.to_owned() }
}

pub(super) fn canceled(task_token: Bytes, answer: &Answer, identity: &str) -> api::RespondActivityTaskCanceledRequest {
    api::RespondActivityTaskCanceledRequest { task_token, details: payload(answer), identity: identity.to_owned() }
}

pub(super) fn heartbeat(task_token: Bytes, answer: &Answer, identity: &str) -> api::RecordActivityTaskHeartbeatRequest {
    api::RecordActivityTaskHeartbeatRequest { task_token, details: payload(answer), identity: identity.to_owned() }
}

pub(super) fn completed_by_id(
    id: &ActivityId,
    answer: &Answer,
    identity: &str,
) -> api::RespondActivityTaskCompletedByIdRequest {
    api::RespondActivityTaskCompletedByIdRequest {
        domain: id.domain.clone(),
        workflow_execution: execution(id),
        activity_id: id.activity_id.clone(),
        result: payload(answer),
        identity: identity.to_owned(),
    }
}

pub(super) fn failed_by_id(
    id: &ActivityId,
    reason: &Failure,
    identity: &str,
) -> api::RespondActivityTaskFailedByIdRequest {
    api::RespondActivityTaskFailedByIdRequest {
        domain: id.domain.clone(),
        workflow_execution: execution(id),
        activity_id: id.activity_id.clone(),
        failure: failure(reason),
        identity: identity.to_owned(),
    }
}

pub(super) fn canceled_by_id(
    id: &ActivityId,
    answer: &Answer,
    identity: &str,
) -> api::RespondActivityTaskCanceledByIdRequest {
    api::RespondActivityTaskCanceledByIdRequest {
        domain: id.domain.clone(),
        workflow_execution: execution(id),
        activity_id: id.activity_id.clone(),
        details: payload(answer),
        identity: identity.to_owned(),
    }
}

pub(super) fn heartbeat_by_id(
    id: &ActivityId,
    answer: &Answer,
    identity: &str,
) -> api::RecordActivityTaskHeartbeatByIdRequest {
    api::RecordActivityTaskHeartbeatByIdRequest {
        domain: id.domain.clone(),
        workflow_execution: execution(id),
        activity_id: id.activity_id.clone(),
        details: payload(answer),
        identity: identity.to_owned(),
    }
}

/// A heartbeat for a run that does not exist. The workflow id chooses the history shard.
pub(super) fn probe(domain_id: &str, workflow_id: &str) -> api::RecordActivityTaskHeartbeatRequest {
    let token = serde_json::json!({
        "domainId": domain_id, "workflowId": workflow_id, "workflowType": "", "runId": NO_RUN,
        "scheduleId": 1, "scheduleAttempt": 0, "activityId": "probe", "activityType": "",
    });
    let task_token = Bytes::from(token.to_string());
    api::RecordActivityTaskHeartbeatRequest { task_token, details: None, identity: "handback/probe".to_owned() }
}

/// [`probe`] for a domain known by name.
pub(super) fn probe_by_id(domain: &str, workflow_id: &str) -> api::RecordActivityTaskHeartbeatByIdRequest {
    api::RecordActivityTaskHeartbeatByIdRequest {
        domain: domain.to_owned(),
        workflow_execution: Some(api::WorkflowExecution {
            workflow_id: workflow_id.to_owned(),
            run_id: NO_RUN.to_owned(),
        }),
        activity_id: "probe".to_owned(),
        details: None,
        identity: "handback/probe".to_owned(),
    }
}
