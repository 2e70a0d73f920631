//! What the development engine does beyond the contract: faults on request, outages, plans, books, the sink.

use std::time::Duration;

use bytes::Bytes;
use handback::cadence::api::{self, worker_api_client::WorkerApiClient};
use handback::dev::engine::{
    ActivityPlan, ActivityState, Attempt, CloseStatus, Effect, Ending, Engine, Method, Options, Outage, Plan, Refusal,
    Rule,
};
use prost::Message;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tonic::Code;

use crate::contract::suite::call::{Head, Seen, Shape, Wire};

const DOMAIN: &str = "dev";
const LIST: &str = "list";

struct Bench {
    engine: Engine,
    wire: Wire,
}

impl Bench {
    async fn start() -> Bench {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = Options { patience: Duration::from_millis(400), ..Options::default() };
        let engine = Engine::with(listener, options).unwrap();
        engine.register_domain(DOMAIN).unwrap();
        let wire = Wire::connect(&engine.address().to_string()).await.unwrap();
        Bench { engine, wire }
    }

    /// Starts a workflow with one activity and takes it.
    fn attempt(&self, workflow_id: &str) -> Attempt {
        let plan = Plan::parallel([ActivityPlan::new("a", "work")]);
        self.engine.start_workflow(DOMAIN, workflow_id, LIST, plan).unwrap();
        self.take().expect("the activity waits")
    }

    fn take(&self) -> Option<Attempt> {
        self.engine.take(DOMAIN, LIST, "worker").unwrap()
    }

    async fn complete(&self, attempt: &Attempt, deadline: Duration) -> Seen {
        let request = completion(&attempt.token);
        self.wire.send(Method::Completed.path(), Head::within(deadline), request.encode_to_vec().into()).await
    }

    fn state(&self, workflow_id: &str) -> ActivityState {
        self.engine.books().activity(workflow_id, "a").unwrap().state
    }
}

fn completion(token: &Bytes) -> api::RespondActivityTaskCompletedRequest {
    let result = Some(api::Payload { data: Bytes::from_static(b"1") });
    api::RespondActivityTaskCompletedRequest { task_token: token.clone(), result, identity: "me".to_owned() }
}

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn refused_calls_are_not_carried_out() {
    let bench = Bench::start().await;
    let (first, second) = (bench.attempt("w1"), bench.attempt("w2"));
    let busy = Rule::new(Effect::Refuse(Refusal::service_busy("slow down"))).workflow("w1").times(2);
    bench.engine.faults().add(busy);
    assert_eq!(bench.complete(&second, SOON).await.code, 0, "the rule is about another workflow");
    for _ in 0..2 {
        let seen = bench.complete(&first, SOON).await;
        assert_eq!((seen.code, seen.detail.as_deref()), (8, Some("ServiceBusyError")));
        assert_eq!(bench.state("w1"), ActivityState::Started);
    }
    assert_eq!(bench.engine.faults().pending(), 0);
    assert_eq!(bench.complete(&first, SOON).await.code, 0);
    assert_eq!(bench.engine.books().calls(Method::Completed), 4);
}

#[tokio::test]
async fn a_dropped_answer_leaves_its_effect() {
    let bench = Bench::start().await;
    for (workflow_id, effect) in [("w1", Effect::ApplyThenSilence), ("w2", Effect::ApplyThenReset)] {
        let attempt = bench.attempt(workflow_id);
        bench.engine.faults().add(Rule::new(effect).times(1));
        let seen = bench.complete(&attempt, Duration::from_millis(100)).await;
        assert_eq!(seen.shape, Shape::None);
        assert_eq!(bench.state(workflow_id), ActivityState::Closed);
        assert_eq!(bench.complete(&attempt, SOON).await.code, Code::NotFound as i32);
    }
}

#[tokio::test]
async fn a_silenced_call_has_no_effect() {
    let bench = Bench::start().await;
    let attempt = bench.attempt("w");
    bench.engine.faults().add(Rule::new(Effect::Silence).on(&[Method::Completed]).times(1));
    assert_eq!(bench.complete(&attempt, Duration::from_millis(100)).await.shape, Shape::None);
    assert_eq!(bench.state("w"), ActivityState::Started);
}

#[tokio::test]
async fn a_delayed_call_takes_its_time() {
    let bench = Bench::start().await;
    let attempt = bench.attempt("w");
    bench.engine.faults().add(Rule::new(Effect::Delay(Duration::from_millis(200))).times(1));
    let began = Instant::now();
    assert_eq!(bench.complete(&attempt, SOON).await.code, 0);
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn without_history_calls_hang_and_the_frontend_goes_on() {
    let bench = Bench::start().await;
    let attempt = bench.attempt("w");
    bench.engine.faults().outage(Outage::History);
    assert_eq!(bench.complete(&attempt, Duration::from_millis(100)).await.code, Code::DeadlineExceeded as i32);
    let seen = bench.complete(&attempt, SOON).await;
    assert_eq!(seen.code, Code::Unknown as i32);
    assert!(seen.message.ends_with("Not enough hosts to serve the request"), "{seen}");
    let health = bench.wire.call(Method::Health.path(), &api::HealthRequest {}).await;
    assert_eq!(health.code, 0);
    let empty = api::RecordActivityTaskHeartbeatRequest { task_token: Bytes::from_static(b"{}"), ..Default::default() };
    let seen = bench.wire.call(Method::Heartbeat.path(), &empty).await;
    assert_eq!(seen.message, "DomainID is empty.");
    let (seen, ()) = tokio::join!(bench.complete(&attempt, SOON), async {
        bench.engine.faults().outage(Outage::None);
    });
    assert_eq!(seen.code, 0, "a call in hand goes on once history is back: {seen}");
}

#[tokio::test]
async fn a_frontend_that_is_gone_cuts_its_connections() {
    let bench = Bench::start().await;
    let attempt = bench.attempt("w");
    bench.engine.faults().outage(Outage::Frontend);
    assert_eq!(bench.complete(&attempt, SOON).await.code, Code::Unavailable as i32);
    let address = bench.engine.address().to_string();
    match Wire::connect(&address).await {
        Ok(wire) => assert_ne!(wire.call(Method::Health.path(), &api::HealthRequest {}).await.code, 0),
        Err(fault) => assert!(fault.contains("cannot connect"), "{fault}"),
    }
    bench.engine.faults().clear();
    let bench = Bench { wire: Wire::connect(&address).await.unwrap(), ..bench };
    assert_eq!(bench.complete(&attempt, SOON).await.code, 0);
}

#[tokio::test]
async fn something_else_at_the_address_implements_nothing() {
    let bench = Bench::start().await;
    bench.engine.faults().outage(Outage::NotAFrontend);
    for method in Method::ALL {
        let seen = bench.wire.send(method.path(), Head::default(), Bytes::new()).await;
        assert_eq!((seen.code, seen.shape), (Code::Unimplemented as i32, Shape::TrailersOnly), "{method:?}");
    }
}

#[tokio::test]
async fn books_say_what_became_of_everything() {
    let bench = Bench::start().await;
    let attempt = bench.attempt("w");
    assert_eq!(bench.engine.books().workflow("w").unwrap().closed, None);
    bench.complete(&attempt, SOON).await;
    let books = bench.engine.books();
    let closing = books.activity("w", "a").unwrap().closing.clone().unwrap();
    assert_eq!((closing.ending, closing.identity.as_str()), (Ending::Completed, "me"));
    assert_eq!(closing.payload, Some(Bytes::from_static(b"1")));
    assert_eq!(books.workflow("w").unwrap().closed, Some(CloseStatus::Completed));
}

#[tokio::test]
async fn a_sequential_plan_runs_one_activity_after_the_other() {
    let bench = Bench::start().await;
    let mut step = ActivityPlan::new("first", "work");
    step.input = vec![serde_json::json!({"order": 7}), serde_json::json!("x")];
    let plan = Plan { sequential: true, ..Plan::parallel([step, ActivityPlan::new("second", "work")]) };
    bench.engine.start_workflow(DOMAIN, "w", LIST, plan).unwrap();
    let first = bench.take().unwrap();
    assert_eq!(first.input, Some(Bytes::from_static(b"{\"order\":7}\n\"x\"\n")));
    assert!(bench.take().is_none(), "the second waits for the first");
    bench.complete(&first, SOON).await;
    let second = bench.take().unwrap();
    assert_eq!(second.activity_id, "second");
    bench.complete(&second, SOON).await;
    assert_eq!(bench.engine.books().workflow("w").unwrap().closed, Some(CloseStatus::Completed));
}

#[tokio::test]
async fn a_cancelled_workflow_waits_for_its_activities() {
    let bench = Bench::start().await;
    let attempt = bench.attempt("w");
    let request = api::RequestCancelWorkflowExecutionRequest {
        domain: DOMAIN.to_owned(),
        workflow_execution: Some(api::WorkflowExecution { workflow_id: "w".to_owned(), run_id: String::new() }),
        ..Default::default()
    };
    assert_eq!(bench.wire.call(Method::RequestCancelWorkflow.path(), &request).await.code, 0);
    assert!(bench.engine.books().activity("w", "a").unwrap().cancel_requested);
    assert_eq!(bench.engine.books().workflow("w").unwrap().closed, None);
    let cancel = api::RespondActivityTaskCanceledRequest { task_token: attempt.token, ..Default::default() };
    assert_eq!(bench.wire.call(Method::Canceled.path(), &cancel).await.code, 0);
    assert_eq!(bench.engine.books().workflow("w").unwrap().closed, Some(CloseStatus::Canceled));
}

#[tokio::test]
async fn a_plan_with_a_mistake_is_refused_with_the_reason() {
    let bench = Bench::start().await;
    for (input, reason) in [
        (
            r#"{"activities":[{"activity_id":"a","activity_type":"t"},{"activity_id":"a","activity_type":"t"}]}"#,
            "used twice",
        ),
        (r#"{"activities":[],"sequentail":true}"#, "unknown field `sequentail`"),
        ("", "EOF"),
    ] {
        let input = Bytes::copy_from_slice(input.as_bytes());
        let request = crate::contract::suite::calls::start(DOMAIN, "w", LIST, input, 60);
        let seen = bench.wire.call(Method::StartWorkflow.path(), &request).await;
        assert_eq!(seen.code, Code::InvalidArgument as i32);
        assert!(seen.message.contains(reason), "{seen}");
    }
}

#[tokio::test]
async fn a_poller_that_gives_up_takes_nothing_with_it() {
    let bench = Bench::start().await;
    let poll = api::PollForActivityTaskRequest {
        domain: DOMAIN.to_owned(),
        task_list: Some(api::TaskList { name: LIST.to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let path = Method::PollForActivityTask.path();
    // The first poller leaves before there is a task; the second one waits for it.
    let gone = tokio::time::timeout(Duration::from_millis(50), bench.wire.call(path, &poll)).await;
    assert!(gone.is_err());
    // Frames keep their order: once this is answered, the engine has heard that the first poller left.
    assert_eq!(bench.wire.call(Method::Health.path(), &api::HealthRequest {}).await.code, 0);
    let (seen, ()) = tokio::join!(bench.wire.call(path, &poll), async {
        let plan = Plan::parallel([ActivityPlan::new("a", "work")]);
        bench.engine.start_workflow(DOMAIN, "w", LIST, plan).unwrap();
    });
    let task = api::PollForActivityTaskResponse::decode(seen.body).unwrap();
    assert_eq!(task.activity_id, "a");
}

#[tokio::test]
async fn a_poller_whose_connection_is_cut_takes_nothing_with_it() {
    let bench = Bench::start().await;
    let poll = api::PollForActivityTaskRequest {
        domain: DOMAIN.to_owned(),
        task_list: Some(api::TaskList { name: LIST.to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let path = Method::PollForActivityTask.path();
    let (cut, ()) = tokio::join!(bench.wire.call(path, &poll), async {
        while bench.engine.calls(Method::PollForActivityTask) == 0 {
            tokio::task::yield_now().await;
        }
        bench.engine.faults().outage(Outage::Frontend);
    });
    assert_eq!(cut.code, Code::Unavailable as i32);
    bench.engine.faults().clear();
    bench.engine.start_workflow(DOMAIN, "w", LIST, Plan::parallel([ActivityPlan::new("a", "work")])).unwrap();
    assert_eq!(bench.take().map(|attempt| attempt.activity_id).as_deref(), Some("a"));
}

#[tokio::test]
async fn a_grpc_client_reads_both_shapes_of_an_error() {
    let bench = Bench::start().await;
    let attempt = bench.attempt("w");
    let mut client = WorkerApiClient::connect(bench.engine.endpoint()).await.unwrap();
    let bare = tonic::Request::new(completion(&attempt.token));
    let refused = client.respond_activity_task_completed(bare).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, "missing service name, caller name, encoding")
    );
    let sound = || {
        let mut request = tonic::Request::new(completion(&attempt.token));
        request.set_timeout(SOON);
        for (name, value) in [("rpc-caller", "test"), ("rpc-service", "cadence-frontend"), ("rpc-encoding", "proto")] {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    client.respond_activity_task_completed(sound()).await.unwrap();
    let refused = client.respond_activity_task_completed(sound()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "Workflow execution already completed."));
    assert!(!refused.details().is_empty());
}

#[tokio::test]
async fn a_sink_answers_unread() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let engine = Engine::sink(listener).unwrap();
    let wire = Wire::connect(&engine.address().to_string()).await.unwrap();
    for method in Method::ALL.into_iter().filter(|method| method.is_answer()) {
        let seen = wire.send(method.path(), Head::default(), Bytes::from_static(b"no message")).await;
        assert_eq!((seen.code, seen.shape), (0, Shape::Message), "{method:?}");
        assert_eq!(engine.calls(method), 1);
    }
}

#[tokio::test]
async fn a_watched_sink_waits_as_told_and_leaves_to_the_engine_what_it_does_not_want() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pause = Duration::from_millis(30);
    let engine = Engine::watched_sink(listener, move |body| body.ends_with(b"mine").then_some(pause)).unwrap();
    let wire = Wire::connect(&engine.address().to_string()).await.unwrap();
    let path = Method::Completed.path();
    let began = Instant::now();
    let mine = wire.send(path, Head::default(), Bytes::from_static(b"mine")).await;
    assert_eq!((mine.code, mine.shape), (0, Shape::Message));
    assert!(began.elapsed() >= pause);
    let other = wire.call(path, &completion(&Bytes::from_static(b"{}"))).await;
    assert_eq!((other.code, other.message.as_str()), (Code::InvalidArgument as i32, "DomainID is empty."));
    assert_eq!(engine.calls(Method::Completed), 2);
}

#[tokio::test]
async fn a_stopped_engine_is_gone() {
    let bench = Bench::start().await;
    let address = bench.engine.address();
    bench.engine.shutdown().await;
    let seen = bench.wire.call(Method::Health.path(), &api::HealthRequest {}).await;
    assert_eq!(seen.code, Code::Unavailable as i32);
    TcpListener::bind(address).await.expect("the port is free again");
}
