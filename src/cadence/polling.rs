//! Activities from the engine: polls, and failing what could not be published.

use std::time::Duration;

use bytes::Bytes;
use tonic::Request;

use super::api;
use super::client::Client;
use super::requests;
use crate::admin::EngineMethod;
use crate::bridge::seams::{CallError, Engine, Wiring};
use crate::dispatch::seams::{Task, TaskList, Tasks, Times};
use crate::wire::{Answer, Failure, RequestActivity};

/// Largest answer to a poll: arguments and headers have a limit of 2 MiB each at the server. A task that cannot be read is
/// lost until its timeout.
const MAX_TASK_BYTES: usize = 16 * 1024 * 1024;

impl Tasks for Client {
    async fn poll(&self, list: &TaskList, identity: &str, within: Duration) -> Result<Option<Task>, CallError> {
        let poll = api::PollForActivityTaskRequest {
            domain: list.domain.clone(),
            task_list: Some(api::TaskList { name: list.name.clone(), ..api::TaskList::default() }),
            identity: identity.to_owned(),
            ..api::PollForActivityTaskRequest::default()
        };
        let request: Request<_> = self.metadata().request_within(poll, within);
        let (worker, line) = self.worker();
        let mut worker = worker.max_decoding_message_size(MAX_TASK_BYTES);
        let call = worker.poll_for_activity_task(request);
        let task = self.counted_within(within, EngineMethod::PollActivity, line, call).await?;
        Ok((!task.task_token.is_empty()).then(|| read(task, &list.domain)))
    }

    async fn fail(&self, token: &Bytes, failure: &Failure, identity: &str) -> Result<(), CallError> {
        let request = self.metadata().request(requests::failed(token.clone(), failure, identity));
        let (mut worker, line) = self.worker();
        self.counted(EngineMethod::RespondFailed, line, worker.respond_activity_task_failed(request)).await?;
        Ok(())
    }

    async fn heartbeat(&self, token: &Bytes, details: Option<&Bytes>, identity: &str) -> Result<(), CallError> {
        let beat = Answer::Heartbeat { details: details.cloned() };
        let request = self.metadata().request(requests::heartbeat(token.clone(), &beat, identity));
        let (mut worker, line) = self.worker();
        self.counted(EngineMethod::RecordHeartbeat, line, worker.record_activity_task_heartbeat(request)).await?;
        Ok(())
    }

    async fn probe_wiring(&self) -> Wiring {
        Engine::probe_wiring(self).await
    }
}

/// What a poll brought, in our words.
fn read(task: api::PollForActivityTaskResponse, domain: &str) -> Task {
    let of = task.workflow_execution.unwrap_or_default();
    // The workflow's domain, which need not be the one that was polled; the reply is looked up in it.
    let domain = if task.workflow_domain.is_empty() { domain.to_owned() } else { task.workflow_domain };
    let mut headers: Vec<_> =
        task.header.unwrap_or_default().fields.into_iter().map(|(name, payload)| (name, payload.data)).collect();
    // A map has no order of its own.
    headers.sort();
    Task {
        token: task.task_token,
        activity: RequestActivity {
            domain,
            workflow_id: of.workflow_id,
            run_id: of.run_id,
            activity_id: task.activity_id,
            attempt: i64::from(task.attempt),
            activity_type: task.activity_type.unwrap_or_default().name,
            workflow_type: task.workflow_type.unwrap_or_default().name,
        },
        input: task.input.map(|payload| payload.data),
        times: Times {
            scheduled_ms: task.scheduled_time.map(millis),
            attempt_scheduled_ms: task.scheduled_time_of_this_attempt.map(millis),
            started_ms: task.started_time.map(millis),
            schedule_to_close: duration(task.schedule_to_close_timeout),
            start_to_close: duration(task.start_to_close_timeout),
            heartbeat: duration(task.heartbeat_timeout),
        },
        heartbeat_details: task.heartbeat_details.map(|payload| payload.data),
        headers,
    }
}

fn millis(time: prost_types::Timestamp) -> i64 {
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000)
}

/// Nothing and what is less than nothing are no limit.
fn duration(length: Option<prost_types::Duration>) -> Duration {
    length.and_then(|length| Duration::try_from(length).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_read_field_by_field() {
        let at = |seconds: i64| Some(prost_types::Timestamp { seconds, nanos: 120_000_000 });
        let of = |seconds: i64| Some(prost_types::Duration { seconds, nanos: 0 });
        let payload = |data: &'static [u8]| api::Payload { data: Bytes::from_static(data) };
        let task = read(
            api::PollForActivityTaskResponse {
                task_token: Bytes::from_static(b"token"),
                workflow_execution: Some(api::WorkflowExecution { workflow_id: "w".into(), run_id: "r".into() }),
                activity_id: "3".into(),
                activity_type: Some(api::ActivityType { name: "Charge".into() }),
                input: Some(payload(b"1\n")),
                scheduled_time: at(10),
                started_time: at(30),
                schedule_to_close_timeout: of(60),
                start_to_close_timeout: of(-1),
                heartbeat_timeout: of(5),
                attempt: 2,
                scheduled_time_of_this_attempt: at(20),
                heartbeat_details: Some(payload(b"40")),
                workflow_type: Some(api::WorkflowType { name: "Order".into() }),
                workflow_domain: "theirs".into(),
                header: Some(api::Header {
                    fields: [("b".to_owned(), payload(b"2")), ("a".to_owned(), payload(b"1"))].into(),
                }),
                ..Default::default()
            },
            "polled",
        );
        let expected = RequestActivity {
            domain: "theirs".into(),
            workflow_id: "w".into(),
            run_id: "r".into(),
            activity_id: "3".into(),
            attempt: 2,
            activity_type: "Charge".into(),
            workflow_type: "Order".into(),
        };
        assert_eq!((&task.token[..], &task.activity), (&b"token"[..], &expected));
        assert_eq!((task.input.unwrap(), task.heartbeat_details.unwrap()), (Bytes::from("1\n"), Bytes::from("40")));
        let expected = Times {
            scheduled_ms: Some(10_120),
            attempt_scheduled_ms: Some(20_120),
            started_ms: Some(30_120),
            schedule_to_close: Duration::from_secs(60),
            start_to_close: Duration::ZERO,
            heartbeat: Duration::from_secs(5),
        };
        assert_eq!(task.times, expected);
        assert_eq!(task.headers, [("a".to_owned(), Bytes::from("1")), ("b".to_owned(), Bytes::from("2"))]);
        let task = read(api::PollForActivityTaskResponse::default(), "polled");
        assert_eq!((task.activity.domain.as_str(), task.input, task.times), ("polled", None, Times::default()));
    }
}
