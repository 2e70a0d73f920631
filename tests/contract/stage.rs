//! How an activity gets into a situation, on whichever server is under test.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use handback::cadence::api;

use super::call::{Head, Seen, Wire};
use super::calls;

/// Longest wait for something that the server does by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// One activity that a workflow is to schedule.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) activity_id: String,
    pub(crate) start_to_close_seconds: u32,
    pub(crate) heartbeat_seconds: u32,
    /// Pause before the second attempt in seconds, and attempts in all.
    pub(crate) retry: Option<(u32, i32)>,
    pub(crate) non_retriable: Vec<String>,
}

impl Part {
    pub(crate) fn new(activity_id: &str) -> Part {
        Part {
            activity_id: activity_id.to_owned(),
            start_to_close_seconds: 120,
            heartbeat_seconds: 0,
            retry: None,
            non_retriable: vec!["never-again".to_owned()],
        }
    }

    pub(crate) fn start_to_close(self, start_to_close_seconds: u32) -> Part {
        Part { start_to_close_seconds, ..self }
    }

    pub(crate) fn heartbeat(self, heartbeat_seconds: u32) -> Part {
        Part { heartbeat_seconds, ..self }
    }

    pub(crate) fn retry(self, pause_seconds: u32, attempts: i32) -> Part {
        Part { retry: Some((pause_seconds, attempts)), ..self }
    }
}

/// A workflow on the stage. It stays open until it is told otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workflow {
    pub(crate) domain: String,
    pub(crate) workflow_id: String,
    pub(crate) run_id: String,
    pub(crate) task_list: String,
}

/// An attempt in a worker's hands, or the means to address one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt {
    pub(crate) domain: String,
    pub(crate) workflow_id: String,
    pub(crate) run_id: String,
    pub(crate) activity_id: String,
    pub(crate) token: Bytes,
    pub(crate) number: i32,
    pub(crate) heartbeat_details: Option<Bytes>,
}

/// The server under test, and what differs between servers.
pub(crate) trait Stage: Send + Sync + 'static {
    /// A connection.
    fn wire(&self) -> &Wire;

    /// A registered domain.
    fn domain(&self) -> &str;

    /// How long the server repeats by itself what may heal, before it says so.
    fn patience(&self) -> Duration;

    /// How often a scene may be played until its situation comes about.
    fn tries(&self) -> u32 {
        1
    }

    /// The shortest timeout, in seconds, within which this server surely lets a call through.
    fn short_timeout(&self) -> u32;

    /// Starts a workflow that schedules `parts` and then stays open, for at most `timeout_seconds`.
    fn begin(&self, parts: Vec<Part>, timeout_seconds: u32) -> impl Future<Output = Result<Workflow, String>> + Send;

    /// Has the workflow ask for the cancellation of one of its activities.
    fn cancel(&self, workflow: &Workflow, activity_id: &str) -> impl Future<Output = Result<(), String>> + Send;

    /// Has the workflow complete, though it may have open activities.
    fn complete(&self, workflow: &Workflow) -> impl Future<Output = Result<(), String>> + Send;
}

/// What every stage can do, because it is done by calls that every server answers.
pub(crate) struct Play<S> {
    pub(crate) stage: Arc<S>,
}

impl<S> Clone for Play<S> {
    fn clone(&self) -> Self {
        Play { stage: Arc::clone(&self.stage) }
    }
}

impl<S: Stage> Play<S> {
    pub(crate) fn wire(&self) -> &Wire {
        self.stage.wire()
    }

    /// Starts a workflow with one activity and takes its first attempt.
    pub(crate) async fn one(&self, part: Part) -> Result<(Workflow, Attempt), String> {
        let workflow = self.stage.begin(vec![part], 300).await?;
        let attempt = self.take(&workflow).await?;
        Ok((workflow, attempt))
    }

    /// Takes the next attempt that the workflow's task list offers.
    pub(crate) async fn take(&self, workflow: &Workflow) -> Result<Attempt, String> {
        let poll = api::PollForActivityTaskRequest {
            domain: workflow.domain.clone(),
            task_list: Some(calls::task_list(&workflow.task_list)),
            identity: "contract-worker".to_owned(),
            task_list_metadata: None,
        };
        for _ in 0..3 {
            let path = "/uber.cadence.api.v1.WorkerAPI/PollForActivityTask";
            let task: api::PollForActivityTaskResponse =
                self.wire().ask(path, PATIENCE / 2, &poll).await.map_err(|seen| format!("poll: {seen}"))?;
            if !task.task_token.is_empty() {
                return Ok(Attempt {
                    domain: workflow.domain.clone(),
                    workflow_id: workflow.workflow_id.clone(),
                    run_id: workflow.run_id.clone(),
                    activity_id: task.activity_id,
                    token: task.task_token,
                    number: task.attempt,
                    heartbeat_details: task.heartbeat_details.map(|payload| payload.data),
                });
            }
        }
        let seen = self.describe(workflow).await?;
        Err(format!("no attempt came to task list {}: {:?}", workflow.task_list, seen.pending_activities))
    }

    /// Describes a workflow.
    pub(crate) async fn describe(&self, workflow: &Workflow) -> Result<api::DescribeWorkflowExecutionResponse, String> {
        let request = api::DescribeWorkflowExecutionRequest {
            domain: workflow.domain.clone(),
            workflow_execution: Some(calls::execution(&workflow.workflow_id, &workflow.run_id)),
            ..Default::default()
        };
        let path = "/uber.cadence.api.v1.WorkflowAPI/DescribeWorkflowExecution";
        self.wire().ask(path, Duration::from_secs(10), &request).await.map_err(|seen| format!("describe: {seen}"))
    }

    /// Describes a workflow until `done` finds what it looks for.
    pub(crate) async fn until<T>(
        &self,
        workflow: &Workflow,
        what: &str,
        done: impl Fn(&api::DescribeWorkflowExecutionResponse) -> Option<T>,
    ) -> Result<T, String> {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.describe(workflow).await?;
            if let Some(found) = done(&seen) {
                return Ok(found);
            }
            if tokio::time::Instant::now() > give_up {
                return Err(format!("{what} did not come about: {seen:?}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// All events of a workflow.
    pub(crate) async fn events(&self, workflow: &Workflow) -> Result<Vec<api::HistoryEvent>, String> {
        let request = calls::history(workflow);
        let page: api::GetWorkflowExecutionHistoryResponse = self
            .wire()
            .ask(calls::HISTORY, Duration::from_secs(10), &request)
            .await
            .map_err(|seen| format!("history: {seen}"))?;
        Ok(page.history.unwrap_or_default().events)
    }

    /// Terminates a workflow.
    pub(crate) async fn terminate(&self, workflow: &Workflow) -> Result<(), String> {
        let request = api::TerminateWorkflowExecutionRequest {
            domain: workflow.domain.clone(),
            workflow_execution: Some(calls::execution(&workflow.workflow_id, &workflow.run_id)),
            ..Default::default()
        };
        let seen = self.wire().call("/uber.cadence.api.v1.WorkflowAPI/TerminateWorkflowExecution", &request).await;
        if seen.code == 0 { Ok(()) } else { Err(format!("terminate: {seen}")) }
    }
}

impl<S: Stage> Play<S> {
    /// Makes a respond or heartbeat call.
    pub(crate) async fn say(&self, say: &calls::Say, to: &Attempt) -> Seen {
        self.wire().send(&say.path(), Head::default(), say.to(to)).await
    }

    /// Makes a call that has to be answered with OK.
    pub(crate) async fn must(&self, say: &calls::Say, to: &Attempt) -> Result<(), String> {
        let seen = self.say(say, to).await;
        if seen.code == 0 { Ok(()) } else { Err(format!("{}: {seen}", say.method())) }
    }
}

impl Attempt {
    /// What the token says.
    pub(crate) fn claims(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_slice(&self.token).expect("a token is a JSON object")
    }

    /// The same attempt, with one thing in its token changed.
    pub(crate) fn with_claim(mut self, name: &str, value: serde_json::Value) -> Attempt {
        let mut claims = self.claims();
        claims.insert(name.to_owned(), value);
        self.token = serde_json::to_vec(&claims).expect("claims have a JSON form").into();
        self
    }

    /// The same, in another run.
    pub(crate) fn with_run(self, run_id: &str) -> Attempt {
        Attempt { run_id: run_id.to_owned(), ..self.with_claim("runId", run_id.into()) }
    }

    /// The same, in another workflow.
    pub(crate) fn with_workflow(self, workflow_id: &str) -> Attempt {
        Attempt { workflow_id: workflow_id.to_owned(), ..self.with_claim("workflowId", workflow_id.into()) }
    }
}
