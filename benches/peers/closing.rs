//! From a reply to a closed activity at low load: the program, real Kafka, and handback's development engine with real
//! workflows (not the sink). An activity is closed when its history says so.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handback::cadence::api;
use handback::dev::engine::{ActivityPlan, Engine, Method, Plan};
use rdkafka::producer::BaseRecord;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tonic::transport::Channel;

use super::game::{self, Rules, percentiles, slow_producer};
use super::peer::{Peer, Running};
use super::sink::now_us;
use super::theatre::figures::Stage;

const DOMAIN: &str = "orders";
const STEP: Duration = Duration::from_millis(10);
/// Replies before those that count: connections are made, and pages touched.
const WARM_UP: usize = 100;

/// p50 and p99 in milliseconds, from just before the reply is produced to the time of the closing event.
pub(crate) fn play(role: &str, rules: &Rules, turn: usize) -> (f64, f64) {
    let count = WARM_UP + rules.low_seconds * 1000 / STEP.as_millis() as usize;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let engine = runtime.block_on(async { Engine::start(listener) }).unwrap();
    let replies = open_activities(&engine, count);
    let stage = game::set(Peer::Handback, &engine.address().to_string(), rules, turn);
    let mut running = Peer::Handback.start(role, &stage);
    let sent = runtime.block_on(reply(&stage, rules, &replies, &engine, &mut running));
    let mut late: Vec<u64> = runtime.block_on(async {
        let channel = Channel::from_shared(engine.endpoint()).unwrap().connect().await.unwrap();
        let mut late = Vec::new();
        for (workflow, _) in &replies[WARM_UP..] {
            late.push(closed_us(&channel, workflow).await.saturating_sub(sent[workflow]));
        }
        late
    });
    percentiles(&mut late)
}

/// Workflows with one activity each that a worker has taken and left pending, and the reply to each.
fn open_activities(engine: &Engine, count: usize) -> Vec<(String, String)> {
    engine.register_domain(DOMAIN).unwrap();
    for number in 0..count {
        let plan = Plan::parallel([ActivityPlan::new("1", "ChargeCard")]);
        engine.start_workflow(DOMAIN, &format!("order-{number}"), "bench", plan).unwrap();
    }
    let taken = std::iter::from_fn(|| engine.take(DOMAIN, "bench", "bench").unwrap());
    let replies: Vec<_> = taken
        .map(|attempt| {
            let token = BASE64_STANDARD.encode(&attempt.token);
            (attempt.workflow_id, format!(r#"{{"task_token":"{token}","result":{{"ok":true}}}}"#))
        })
        .collect();
    assert_eq!(replies.len(), count);
    replies
}

/// Answers one activity each step, and says when each reply was sent.
async fn reply(
    stage: &Stage,
    rules: &Rules,
    replies: &[(String, String)],
    engine: &Engine,
    running: &mut Running,
) -> HashMap<String, u64> {
    let producer = slow_producer(&stage.brokers);
    let topic = stage.topic("replies");
    let mut sent = HashMap::new();
    let mut step = interval(STEP);
    // What is late because the process had to start must not come at once.
    step.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for (number, (workflow, value)) in replies.iter().enumerate() {
        if number == WARM_UP {
            // Those before may have waited for the process to start.
            wait_for(engine, WARM_UP, running).await;
        }
        step.tick().await;
        sent.insert(workflow.clone(), now_us());
        let partition = (number % rules.partitions) as i32;
        let record = BaseRecord::<(), _>::to(&topic).partition(partition).payload(value);
        producer.send(record).map_err(|(fault, _)| fault).unwrap();
    }
    wait_for(engine, replies.len(), running).await;
    sent
}

/// Until the engine has closed that many workflows.
async fn wait_for(engine: &Engine, count: usize, running: &mut Running) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let closed = || engine.books().workflows.iter().filter(|workflow| workflow.closed.is_some()).count();
    while engine.calls(Method::Completed) < count as u64 || closed() < count {
        running.must_run();
        if Instant::now() > deadline {
            running.fail(&format!("of {count} activities {} are closed", closed()));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// When the activity of a workflow was completed, in microseconds since 1970, by its history.
async fn closed_us(channel: &Channel, workflow_id: &str) -> u64 {
    let mut request = tonic::Request::new(api::GetWorkflowExecutionHistoryRequest {
        domain: DOMAIN.to_owned(),
        workflow_execution: Some(api::WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: String::new() }),
        ..Default::default()
    });
    for (name, value) in [("rpc-caller", "bench"), ("rpc-service", "cadence-frontend"), ("rpc-encoding", "proto")] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    request.set_timeout(Duration::from_secs(10));
    let mut client = api::workflow_api_client::WorkflowApiClient::new(channel.clone());
    let asked = timeout(Duration::from_secs(10), client.get_workflow_execution_history(request));
    let history = asked.await.expect("an answer in time").unwrap().into_inner().history.unwrap();
    let is_closing = |event: &&api::HistoryEvent| {
        matches!(event.attributes, Some(api::history_event::Attributes::ActivityTaskCompletedEventAttributes(_)))
    };
    let time = history.events.iter().find(is_closing).and_then(|event| event.event_time).expect("it is completed");
    time.seconds as u64 * 1_000_000 + time.nanos as u64 / 1000
}
