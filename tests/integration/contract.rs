//! The contract suite on the development engine.

#[path = "../contract/mod.rs"]
pub(crate) mod suite;

use std::time::Duration;

use handback::dev::engine::{ActivityPlan, Engine, Options, Plan, RetryPlan};
use tokio::net::TcpListener;

use suite::call::Wire;
use suite::stage::{Part, Stage, Workflow};

const DOMAIN: &str = "contract";

struct Embedded {
    engine: Engine,
    wire: Wire,
}

impl Embedded {
    async fn start() -> Embedded {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let options = Options { patience: Duration::from_secs(2), ..Options::default() };
        let engine = Engine::with(listener, options).expect("the engine starts");
        engine.register_domain(DOMAIN).expect("the domain's name is one");
        let wire = Wire::connect(&engine.address().to_string()).await.expect("the engine listens");
        Embedded { engine, wire }
    }
}

impl Stage for Embedded {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn domain(&self) -> &str {
        DOMAIN
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn short_timeout(&self) -> u32 {
        1
    }

    async fn begin(&self, parts: Vec<Part>, timeout_seconds: u32) -> Result<Workflow, String> {
        let plan = Plan { stay_open: true, ..Plan::parallel(parts.iter().map(planned)) };
        let workflow_id = format!("contract-{}", uuid::Uuid::new_v4());
        let list = format!("{workflow_id}-list");
        let request = suite::calls::start(DOMAIN, &workflow_id, &list, plan.to_input(), timeout_seconds);
        let started: handback::cadence::api::StartWorkflowExecutionResponse = self
            .wire
            .ask(suite::calls::START, Duration::from_secs(10), &request)
            .await
            .map_err(|seen| format!("start: {seen}"))?;
        Ok(Workflow { domain: DOMAIN.to_owned(), workflow_id, run_id: started.run_id, task_list: list })
    }

    async fn cancel(&self, workflow: &Workflow, activity_id: &str) -> Result<(), String> {
        let asked = self.engine.request_activity_cancel(DOMAIN, &workflow.workflow_id, activity_id);
        asked.map(|_| ()).map_err(|refusal| format!("{refusal:?}"))
    }

    async fn complete(&self, workflow: &Workflow) -> Result<(), String> {
        let done = self.engine.complete_workflow(DOMAIN, &workflow.workflow_id);
        done.map(|_| ()).map_err(|refusal| format!("{refusal:?}"))
    }
}

fn planned(part: &Part) -> ActivityPlan {
    let retry = part.retry.map(|(pause, attempts)| RetryPlan {
        initial_interval_seconds: pause,
        backoff: 1.0,
        max_attempts: attempts,
        non_retriable: part.non_retriable.clone(),
    });
    ActivityPlan {
        start_to_close_seconds: part.start_to_close_seconds,
        heartbeat_seconds: part.heartbeat_seconds,
        retry,
        ..ActivityPlan::new(&part.activity_id, "contract-activity")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_answers_as_a_cadence_server_does() {
    let verdicts = suite::run(Embedded::start().await, 256).await;
    assert!(suite::summary(&verdicts, false), "the engine breaks the contract");
}
