//! The contract suite on a real Cadence server, whose address is in `HANDBACK_CONTRACT_ENDPOINT`:
//! `HANDBACK_CONTRACT_ENDPOINT=127.0.0.1:7833 cargo test --test contract_live`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "mod.rs"]
mod suite;

use std::time::Duration;

use handback::cadence::api::{
    self, CompleteWorkflowExecutionDecisionAttributes as Complete,
    RequestCancelActivityTaskDecisionAttributes as CancelActivity, ScheduleActivityTaskDecisionAttributes as Schedule,
    decision::Attributes,
};
use suite::call::Wire;
use suite::calls::{self, seconds};
use suite::stage::{PATIENCE, Part, Stage, Workflow};
use tokio::time::Instant;

const ENDPOINT: &str = "HANDBACK_CONTRACT_ENDPOINT";
/// Scenes at the same time: more only wait for the server.
const AT_ONCE: usize = 24;
/// Longest wait for the server to be up, and for a new domain to be usable.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A real server. The suite is its decider.
struct Real {
    wire: Wire,
    domain: String,
}

impl Real {
    async fn connect(address: &str) -> Result<Real, String> {
        let give_up = Instant::now() + READY_WITHIN;
        let domain = format!("contract-{}", &uuid::Uuid::new_v4().to_string()[..8]);
        loop {
            match Real::try_connect(address, &domain).await {
                Ok(real) => return Ok(real),
                Err(fault) if Instant::now() > give_up => return Err(fault),
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// Registers the domain and proves that it can be used: a server knows a new domain only after a moment.
    async fn try_connect(address: &str, domain: &str) -> Result<Real, String> {
        let wire = Wire::connect(address).await?;
        let request = api::RegisterDomainRequest {
            name: domain.to_owned(),
            workflow_execution_retention_period: seconds(86_400),
            ..Default::default()
        };
        let seen = wire.call("/uber.cadence.api.v1.DomainAPI/RegisterDomain", &request).await;
        if !matches!(seen.code, 0 | 6) {
            return Err(format!("register the domain: {seen}"));
        }
        let real = Real { wire, domain: domain.to_owned() };
        real.begin(Vec::new(), 60).await?;
        Ok(real)
    }

    /// Takes the workflow's next decision task and answers it.
    async fn decide(&self, workflow: &Workflow, decisions: Vec<Attributes>) -> Result<(), String> {
        let poll = api::PollForDecisionTaskRequest {
            domain: self.domain.clone(),
            task_list: Some(calls::task_list(&workflow.task_list)),
            identity: "contract-decider".to_owned(),
            ..Default::default()
        };
        let path = "/uber.cadence.api.v1.WorkerAPI/PollForDecisionTask";
        let task: api::PollForDecisionTaskResponse =
            self.wire.ask(path, PATIENCE, &poll).await.map_err(|seen| format!("poll for a decision: {seen}"))?;
        if task.task_token.is_empty() {
            return Err(format!("no decision task came for {}", workflow.workflow_id));
        }
        let request = api::RespondDecisionTaskCompletedRequest {
            task_token: task.task_token,
            decisions: decisions.into_iter().map(|it| api::Decision { attributes: Some(it) }).collect(),
            identity: "contract-decider".to_owned(),
            ..Default::default()
        };
        let seen = self.wire.call("/uber.cadence.api.v1.WorkerAPI/RespondDecisionTaskCompleted", &request).await;
        if seen.code == 0 { Ok(()) } else { Err(format!("decide: {seen}")) }
    }

    /// Wakes the workflow up and decides.
    async fn wake(&self, workflow: &Workflow, decision: Attributes) -> Result<(), String> {
        let signal = api::SignalWorkflowExecutionRequest {
            domain: self.domain.clone(),
            workflow_execution: Some(calls::execution(&workflow.workflow_id, &workflow.run_id)),
            identity: "contract".to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            signal_name: "wake".to_owned(),
            ..Default::default()
        };
        let seen = self.wire.call("/uber.cadence.api.v1.WorkflowAPI/SignalWorkflowExecution", &signal).await;
        if seen.code != 0 {
            return Err(format!("signal: {seen}"));
        }
        self.decide(workflow, vec![decision]).await
    }
}

impl Stage for Real {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn domain(&self) -> &str {
        &self.domain
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// A v1.4.1 server loses a timer at times (its log: "New timer generated is less than read level"): the timeout that
    /// a scene waits for never comes.
    fn tries(&self) -> u32 {
        3
    }

    fn short_timeout(&self) -> u32 {
        5
    }

    async fn begin(&self, parts: Vec<Part>, timeout_seconds: u32) -> Result<Workflow, String> {
        let workflow_id = format!("contract-{}", uuid::Uuid::new_v4());
        let task_list = format!("{workflow_id}-list");
        let request =
            calls::start(&self.domain, &workflow_id, &task_list, bytes::Bytes::from_static(b"{}"), timeout_seconds);
        let started: api::StartWorkflowExecutionResponse = self
            .wire
            .ask(calls::START, Duration::from_secs(10), &request)
            .await
            .map_err(|seen| format!("start: {seen}"))?;
        let workflow = Workflow { domain: self.domain.clone(), workflow_id, run_id: started.run_id, task_list };
        let decisions = parts.into_iter().map(|part| schedule(part, &workflow.task_list)).collect();
        self.decide(&workflow, decisions).await?;
        Ok(workflow)
    }

    async fn cancel(&self, workflow: &Workflow, activity_id: &str) -> Result<(), String> {
        let cancel = CancelActivity { activity_id: activity_id.to_owned() };
        self.wake(workflow, Attributes::RequestCancelActivityTaskDecisionAttributes(cancel)).await
    }

    async fn complete(&self, workflow: &Workflow) -> Result<(), String> {
        let complete = Complete { result: None };
        self.wake(workflow, Attributes::CompleteWorkflowExecutionDecisionAttributes(complete)).await
    }
}

fn schedule(part: Part, list: &str) -> Attributes {
    let retry_policy = part.retry.map(|(pause, attempts)| api::RetryPolicy {
        initial_interval: seconds(pause),
        backoff_coefficient: 1.0,
        maximum_interval: seconds(pause),
        maximum_attempts: attempts,
        non_retryable_error_reasons: part.non_retriable,
        ..Default::default()
    });
    Attributes::ScheduleActivityTaskDecisionAttributes(Schedule {
        activity_id: part.activity_id,
        activity_type: Some(api::ActivityType { name: "contract-activity".to_owned() }),
        task_list: Some(calls::task_list(list)),
        schedule_to_close_timeout: seconds(300),
        schedule_to_start_timeout: seconds(300),
        start_to_close_timeout: seconds(part.start_to_close_seconds),
        heartbeat_timeout: seconds(part.heartbeat_seconds),
        retry_policy,
        ..Default::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_answers_as_the_contract_says() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else {
        panic!("{ENDPOINT} is not set: it names the gRPC address of a Cadence frontend, such as 127.0.0.1:7833");
    };
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let began = Instant::now();
    let stage = Real::connect(address).await.expect("the server can be used");
    let verdicts = suite::run(stage, AT_ONCE).await;
    println!("took {:.1} s", began.elapsed().as_secs_f64());
    let show_all = std::env::var_os("HANDBACK_CONTRACT_SHOW_ALL").is_some();
    assert!(suite::summary(&verdicts, show_all), "the server breaks the contract");
}
