//! Requests as the engine sees them, read from their messages.

use bytes::Bytes;
use prost::{DecodeError, Message};

use super::attempts::Answer;
use super::method::Method;
use super::token::{BY_ID, Claims};
use crate::cadence::api;

/// Which activity an answer is for.
#[derive(Clone, Debug)]
pub(super) enum Aim {
    Token(Bytes),
    ById { domain: String, workflow_id: String, run_id: String, activity_id: String },
}

/// A respond or heartbeat call.
#[derive(Clone, Debug)]
pub(super) struct AnswerCall {
    pub(super) aim: Aim,
    pub(super) answer: Answer,
    pub(super) identity: String,
}

pub(super) enum Request {
    Answer(AnswerCall),
    Poll(api::PollForActivityTaskRequest),
    Start(Box<api::StartWorkflowExecutionRequest>),
    Cancel(api::RequestCancelWorkflowExecutionRequest),
    Terminate(api::TerminateWorkflowExecutionRequest),
    Describe(api::DescribeWorkflowExecutionRequest),
    History(api::GetWorkflowExecutionHistoryRequest),
    Register(Box<api::RegisterDomainRequest>),
    DescribeDomain(api::DescribeDomainRequest),
    Health,
}

impl Request {
    pub(super) fn read(method: Method, body: Bytes) -> Result<Request, DecodeError> {
        Ok(match method {
            Method::PollForActivityTask => Request::Poll(Message::decode(body)?),
            Method::StartWorkflow => Request::Start(Box::new(Message::decode(body)?)),
            Method::RequestCancelWorkflow => Request::Cancel(Message::decode(body)?),
            Method::TerminateWorkflow => Request::Terminate(Message::decode(body)?),
            Method::DescribeWorkflow => Request::Describe(Message::decode(body)?),
            Method::WorkflowHistory => Request::History(Message::decode(body)?),
            Method::RegisterDomain => Request::Register(Box::new(Message::decode(body)?)),
            Method::DescribeDomain => Request::DescribeDomain(Message::decode(body)?),
            Method::Health => Request::Health,
            _ => Request::Answer(answer(method, body)?),
        })
    }

    /// The workflow that the request is about.
    pub(super) fn workflow_id(&self) -> Option<String> {
        let of = |execution: &Option<api::WorkflowExecution>| execution.as_ref().map(|of| of.workflow_id.clone());
        match self {
            Request::Answer(AnswerCall { aim: Aim::Token(token), .. }) => {
                Claims::from_token(token).ok().map(|claims| claims.workflow_id)
            }
            Request::Answer(AnswerCall { aim: Aim::ById { workflow_id, .. }, .. }) => Some(workflow_id.clone()),
            Request::Start(start) => Some(start.workflow_id.clone()),
            Request::Cancel(cancel) => of(&cancel.workflow_execution),
            Request::Terminate(terminate) => of(&terminate.workflow_execution),
            Request::Describe(describe) => of(&describe.workflow_execution),
            Request::History(history) => of(&history.workflow_execution),
            Request::Poll(_) | Request::Register(_) | Request::DescribeDomain(_) | Request::Health => None,
        }
    }
}

impl Aim {
    fn by_id(domain: String, execution: Option<api::WorkflowExecution>, activity_id: String) -> Aim {
        let execution = execution.unwrap_or_default();
        Aim::ById { domain, workflow_id: execution.workflow_id, run_id: execution.run_id, activity_id }
    }

    /// What a call by id says, in the terms of a token.
    pub(super) fn claims(&self) -> Option<Claims> {
        let Aim::ById { workflow_id, run_id, activity_id, .. } = self else { return None };
        Some(Claims {
            workflow_id: workflow_id.clone(),
            run_id: run_id.clone(),
            activity_id: activity_id.clone(),
            schedule_id: BY_ID,
            ..Claims::default()
        })
    }
}

fn data(payload: Option<api::Payload>) -> Option<Bytes> {
    payload.map(|payload| payload.data)
}

fn answer(method: Method, body: Bytes) -> Result<AnswerCall, DecodeError> {
    let (aim, answer, identity) = match method {
        Method::Completed => {
            let call = api::RespondActivityTaskCompletedRequest::decode(body)?;
            (Aim::Token(call.task_token), Answer::Complete(data(call.result)), call.identity)
        }
        Method::CompletedById => {
            let call = api::RespondActivityTaskCompletedByIdRequest::decode(body)?;
            let aim = Aim::by_id(call.domain, call.workflow_execution, call.activity_id);
            (aim, Answer::Complete(data(call.result)), call.identity)
        }
        Method::Failed => {
            let call = api::RespondActivityTaskFailedRequest::decode(body)?;
            (Aim::Token(call.task_token), Answer::Fail(call.failure.unwrap_or_default()), call.identity)
        }
        Method::FailedById => {
            let call = api::RespondActivityTaskFailedByIdRequest::decode(body)?;
            let aim = Aim::by_id(call.domain, call.workflow_execution, call.activity_id);
            (aim, Answer::Fail(call.failure.unwrap_or_default()), call.identity)
        }
        Method::Canceled => {
            let call = api::RespondActivityTaskCanceledRequest::decode(body)?;
            (Aim::Token(call.task_token), Answer::Cancel(data(call.details)), call.identity)
        }
        Method::CanceledById => {
            let call = api::RespondActivityTaskCanceledByIdRequest::decode(body)?;
            let aim = Aim::by_id(call.domain, call.workflow_execution, call.activity_id);
            (aim, Answer::Cancel(data(call.details)), call.identity)
        }
        Method::Heartbeat => {
            let call = api::RecordActivityTaskHeartbeatRequest::decode(body)?;
            (Aim::Token(call.task_token), Answer::Heartbeat(data(call.details)), call.identity)
        }
        _ => {
            let call = api::RecordActivityTaskHeartbeatByIdRequest::decode(body)?;
            let aim = Aim::by_id(call.domain, call.workflow_execution, call.activity_id);
            (aim, Answer::Heartbeat(data(call.details)), call.identity)
        }
    };
    Ok(AnswerCall { aim, answer, identity })
}
