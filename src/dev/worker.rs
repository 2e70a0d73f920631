//! A worker as every team has one: takes activities from the engine and publishes them as requests. It answers nothing
//! itself; in Cadence's words its activities return "result pending".

use std::time::Duration;

use prost_types::Timestamp;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::clients::{self, Writer};
use crate::cadence::api::worker_api_client::WorkerApiClient;
use crate::cadence::api::{PollForActivityTaskRequest, PollForActivityTaskResponse, TaskList};
use crate::cadence::{ConnectError, Metadata, channels};
use crate::config::Settings;
use crate::wire::{Input, Request, RequestActivity, TaskToken};

/// How long one poll may wait for a task.
const POLL: Duration = Duration::from_secs(60);

/// Pause after a poll that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// The worker.
pub(super) struct Worker {
    client: WorkerApiClient<Channel>,
    metadata: Metadata,
    producer: Writer,
    domain: String,
    task_list: String,
    requests: String,
    reply_to: String,
}

impl Worker {
    pub(super) fn new(
        settings: &Settings,
        domain: &str,
        task_list: &str,
        producer: Writer,
    ) -> Result<Self, ConnectError> {
        // Polls hang for a minute, so they share no connection with anything else.
        let channel = channels(&settings.cadence)?.swap_remove(0);
        Ok(Self {
            client: WorkerApiClient::new(channel),
            metadata: Metadata::new(&settings.cadence)?,
            producer,
            domain: domain.to_owned(),
            task_list: task_list.to_owned(),
            requests: settings.topics.requests.clone(),
            reply_to: settings.topics.replies[0].clone(),
        })
    }

    /// Polls until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let work = async {
            loop {
                match self.poll().await {
                    Ok(task) if task.task_token.is_empty() => {}
                    Ok(task) => self.publish(task).await,
                    Err(status) => {
                        tracing::debug!(%status, "the demo's worker cannot poll");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }

    async fn poll(&mut self) -> Result<PollForActivityTaskResponse, tonic::Status> {
        let poll = PollForActivityTaskRequest {
            domain: self.domain.clone(),
            task_list: Some(TaskList { name: self.task_list.clone(), ..TaskList::default() }),
            identity: "demo-worker".to_owned(),
            ..PollForActivityTaskRequest::default()
        };
        let request = self.metadata.request_within(poll, POLL);
        Ok(self.client.poll_for_activity_task(request).await?.into_inner())
    }

    async fn publish(&self, task: PollForActivityTaskResponse) {
        let record = match self.request(task) {
            Ok(request) => request.to_record(self.requests.as_str().into()),
            Err(fault) => return tracing::error!(%fault, "the engine gave a token that is none"),
        };
        if let Err(error) = clients::send(&self.producer, &record).await {
            // The activity runs into its timeout and is given out again: nothing more to do here.
            tracing::error!(%error, "a request cannot be published");
        }
    }

    fn request(&self, task: PollForActivityTaskResponse) -> Result<Request, crate::wire::TokenFault> {
        let of = task.workflow_execution.unwrap_or_default();
        let activity = RequestActivity {
            domain: task.workflow_domain,
            workflow_id: of.workflow_id,
            run_id: of.run_id,
            activity_id: task.activity_id,
            attempt: i64::from(task.attempt),
            activity_type: task.activity_type.unwrap_or_default().name,
            workflow_type: task.workflow_type.unwrap_or_default().name,
        };
        let seconds = |length: Option<prost_types::Duration>| length.map_or(0, |length| length.seconds);
        let started_ms = task.started_time.map(millis);
        let heartbeat = u32::try_from(seconds(task.heartbeat_timeout)).unwrap_or(0);
        let deadline = started_ms.map(|started| started + seconds(task.start_to_close_timeout) * 1000);
        let mut request = Request::new(TaskToken::check(task.task_token)?).with_activity(activity);
        request.input = task.input.map(|payload| Input::from_payload(payload.data));
        request.reply_to = Some(self.reply_to.clone());
        request.scheduled_at_ms = task.scheduled_time.map(millis);
        request.deadline_ms = deadline;
        request.heartbeat_timeout_seconds = Some(heartbeat).filter(|seconds| *seconds > 0);
        Ok(request)
    }
}

fn millis(time: Timestamp) -> i64 {
    time.seconds * 1000 + i64::from(time.nanos) / 1_000_000
}
