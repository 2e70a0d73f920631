//! Activities without worker code: from a task list to the request topic and back, on the embedded stack.

use std::time::Duration;

use handback::config::{Route, Settings};
use handback::dev::engine::{
    ActivityPlan, ActivityState, CloseStatus, Effect, Method, Outage, Plan, Refusal, RetryPlan, Rule,
};
use handback::exit::Exit;
use handback::wire::{Input, OutcomeKind, Record, Request, names};
use rdkafka::types::RDKafkaRespErr;
use serde_json::json;
use tonic::Code;

use crate::support::{Bridge, DOMAIN, Process, REPLIES, REQUESTS, Stage, TASK_LIST, until, value};

/// Settings that dispatch what the stage's workflows schedule, and notice a broker that is away within a second.
fn settings(stage: &Stage) -> Settings {
    let mut settings = stage.settings();
    settings.dispatch.enabled = true;
    settings.dispatch.pollers = 2;
    settings.dispatch.routes = vec![Route {
        domain: DOMAIN.into(),
        task_list: TASK_LIST.into(),
        activity_type: "ChargeCard".into(),
        ..Route::default()
    }];
    settings.kafka.properties.set("delivery.timeout.ms", "500");
    settings.kafka.properties.set("reconnect.backoff.max.ms", "200");
    settings
}

/// Schedules one activity as workflow code would; nobody takes it by hand.
fn schedule(stage: &Stage, workflow_id: &str, activity: ActivityPlan) {
    stage.engine.start_workflow(DOMAIN, workflow_id, TASK_LIST, Plan::parallel([activity])).unwrap();
}

fn charge() -> ActivityPlan {
    let mut plan = ActivityPlan::new("charge", "ChargeCard");
    plan.input = vec![json!({"amount": 1250, "currency": "EUR"}), json!("now")];
    plan
}

fn retried(non_retriable: &[&str]) -> RetryPlan {
    RetryPlan {
        initial_interval_seconds: 1,
        backoff: 1.0,
        max_attempts: 10,
        non_retriable: non_retriable.iter().map(|reason| (*reason).to_owned()).collect(),
    }
}

/// The requests of one workflow so far.
fn requests(stage: &Stage, workflow_id: &str) -> Vec<(Record, Request)> {
    let read = |record: Record| {
        let request = Request::parse(record.value.as_ref().unwrap()).unwrap();
        (record, request)
    };
    let of = |(_, request): &(Record, Request)| request.activity.as_ref().unwrap().workflow_id == workflow_id;
    stage.log.requests().into_iter().map(read).filter(of).collect()
}

async fn until_requested(stage: &Stage, workflow_id: &str) -> (Record, Request) {
    until(&format!("a request of {workflow_id} is there"), async || !requests(stage, workflow_id).is_empty()).await;
    requests(stage, workflow_id).remove(0)
}

/// Answers as a service that knows nothing of handback: the correlation id goes back, to the topic that was asked for.
async fn answer(stage: &Stage, request: &Record, result: &'static str) -> (i32, i64) {
    let mut reply = value(result);
    let topic = request.headers.last(names::REPLY_TOPIC).unwrap();
    reply.topic = std::str::from_utf8(topic).unwrap().into();
    reply.key = request.key.clone();
    reply.headers.push(names::CORRELATION_ID, request.headers.last(names::CORRELATION_ID).cloned());
    stage.log.write(reply).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_is_served_without_any_worker_code() {
    let stage = Stage::set().await;
    let bridge = Bridge::start(settings(&stage));
    schedule(&stage, "order-1", charge());
    let (record, request) = until_requested(&stage, "order-1").await;
    assert_eq!(record.key.as_deref(), Some(format!("{DOMAIN}/order-1").as_bytes()));
    assert_eq!(request.reply_to.as_deref(), Some(REPLIES));
    let Some(Input::Json(arguments)) = &request.input else { panic!("{request:?}") };
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.get()).collect();
    assert_eq!(arguments, [r#"{"amount":1250,"currency":"EUR"}"#, r#""now""#]);
    assert!(request.deadline_ms.unwrap() > request.scheduled_at_ms.unwrap());
    assert_eq!(stage.book("order-1").state, ActivityState::Started, "left pending");

    let source = answer(&stage, &record, r#"{"charge_id": "ch_1"}"#).await;
    stage.outcome(source, OutcomeKind::Applied).await;
    let closing = stage.book("order-1").closing.unwrap();
    assert_eq!(closing.payload.unwrap(), r#"{"charge_id": "ch_1"}"#);
    let closed = stage.engine.books().workflow("order-1").unwrap().closed;
    assert_eq!(closed, Some(CloseStatus::Completed));
    let metrics = bridge.metrics().await;
    assert!(metrics.contains("handback_dispatch_tasks_total{result=\"published\"} 1"), "{metrics}");
    assert_eq!(bridge.stop().await.exit, Exit::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_activity_is_published_once_when_nothing_is_wrong() {
    let stage = Stage::set().await;
    let mut settings = settings(&stage);
    // A machine that is busy must not look like a broker that is away.
    settings.kafka.properties.set("delivery.timeout.ms", "30000");
    let dispatcher = Bridge::start_dispatch(settings);
    let many = 300;
    for number in 0..many {
        schedule(&stage, &format!("order-{number}"), charge());
    }
    until("all are published", async || stage.log.requests().len() >= many).await;
    assert_eq!(dispatcher.stop().await.exit, Exit::Ok);
    let mut ids: Vec<_> = stage
        .log
        .requests()
        .iter()
        .map(|record| Request::parse(record.value.as_ref().unwrap()).unwrap().request_key.unwrap())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), stage.log.requests().len()), (many, many));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_polled_while_the_broker_is_away_is_published_when_it_is_back() {
    let stage = Stage::set().await;
    let dispatcher = Bridge::start_dispatch(settings(&stage));
    dispatcher.until_ready().await;
    stage.broker.with(|cluster| cluster.broker_down(-1).unwrap());
    // Without a retry policy: one failed attempt would be the end of the workflow's activity.
    let mut plan = charge();
    plan.heartbeat_seconds = 3;
    schedule(&stage, "order-1", plan);
    dispatcher.until_unready("requests cannot be written to activity-requests").await;
    // Longer than the heartbeat timeout.
    until("the dispatcher heartbeats", async || stage.book("order-1").heartbeats >= 4).await;
    let book = stage.book("order-1");
    assert_eq!((book.state, book.last_failure), (ActivityState::Started, None));
    stage.broker.with(|cluster| cluster.broker_up(-1).unwrap());
    let (_, request) = until_requested(&stage, "order-1").await;
    assert_eq!(request.activity.unwrap().attempt, 0);
    // From here on the heartbeats are the service's, and this one has none.
    dispatcher.until_ready().await;
    let metrics = dispatcher.metrics().await;
    assert!(metrics.contains("handback_dispatch_tasks_total{result=\"published\"} 1"), "{metrics}");
    assert!(!metrics.contains("handback_dispatch_produce_retries_total 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_cannot_be_published_fails_before_its_deadline_and_the_next_follows() {
    let stage = Stage::set().await;
    let dispatcher = Bridge::start_dispatch(settings(&stage));
    dispatcher.until_ready().await;
    stage.broker.with(|cluster| cluster.broker_down(-1).unwrap());
    let mut plan = charge();
    plan.start_to_close_seconds = 4;
    plan.retry = Some(retried(&[]));
    schedule(&stage, "order-1", plan);
    until("the first attempt has failed", async || stage.book("order-1").attempt >= 1).await;
    let reason = stage.book("order-1").last_failure;
    assert_eq!(reason.as_deref(), Some("handback.NotPublished"), "by us, not by its timeout");
    stage.broker.with(|cluster| cluster.broker_up(-1).unwrap());
    let (_, request) = until_requested(&stage, "order-1").await;
    let attempt = request.activity.as_ref().unwrap().attempt;
    assert!(attempt >= 1, "{request:?}");
    assert!(request.request_key.unwrap().ends_with("/charge"), "the same for every attempt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_without_a_route_fails_with_a_reason_that_policies_can_name() {
    let stage = Stage::set().await;
    let dispatcher = Bridge::start_dispatch(settings(&stage));
    let mut plan = ActivityPlan::new("refund", "Refund");
    plan.retry = Some(retried(&["handback.NoRoute"]));
    schedule(&stage, "order-1", plan.clone());
    until("it is closed", async || stage.book("order-1").state == ActivityState::Closed).await;
    let book = stage.book("order-1");
    let closing = book.closing.unwrap();
    assert_eq!((book.attempt, closing.reason.as_deref()), (0, Some("handback.NoRoute")));
    let detail = String::from_utf8(closing.payload.unwrap().to_vec()).unwrap();
    assert!(detail.contains("Refund"), "{detail}");
    // Not on the list: the next attempt waits for somebody to add a route.
    plan.retry = Some(retried(&[]));
    schedule(&stage, "order-2", plan);
    until("it is tried again", async || stage.book("order-2").attempt >= 1).await;
    assert!(stage.log.requests().is_empty());
    assert!(dispatcher.readiness().await.0, "one workflow's mistake is not ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_request_topic_is_told_and_its_activities_wait() {
    let stage = Stage::set().await;
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    stage.broker.with(move |cluster| cluster.topic_error(REQUESTS, unknown).unwrap());
    let mut settings = settings(&stage);
    settings.kafka.properties.set("topic.metadata.propagation.max.ms", "100");
    settings.kafka.properties.set("topic.metadata.refresh.interval.ms", "300");
    let dispatcher = Bridge::start_dispatch(settings);
    schedule(&stage, "order-1", charge());
    dispatcher.until_unready("activity-requests does not exist, or our user may not see it").await;
    stage.broker.with(|cluster| cluster.topic_error(REQUESTS, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap());
    until_requested(&stage, "order-1").await;
    dispatcher.until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_domain_is_told_until_it_is_registered() {
    let stage = Stage::set().await;
    let mut settings = settings(&stage);
    settings.dispatch.routes[0].domain = "elsewhere".into();
    settings.retry.spent = Duration::from_millis(200);
    let dispatcher = Bridge::start_dispatch(settings);
    dispatcher.until_unready("register domain elsewhere").await;
    stage.engine.register_domain("elsewhere").unwrap();
    let plan = Plan::parallel([charge()]);
    stage.engine.start_workflow("elsewhere", "order-1", TASK_LIST, plan).unwrap();
    let (_, request) = until_requested(&stage, "order-1").await;
    assert_eq!(request.activity.unwrap().domain, "elsewhere");
    dispatcher.until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frontend_that_comes_back_is_polled_again() {
    let stage = Stage::set().await;
    let dispatcher = Bridge::start_dispatch(settings(&stage));
    dispatcher.until_ready().await;
    stage.engine.faults().outage(Outage::Frontend);
    dispatcher.until_unready("cannot be polled").await;
    stage.engine.faults().outage(Outage::None);
    schedule(&stage, "order-1", charge());
    until_requested(&stage, "order-1").await;
    dispatcher.until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_wiring_ends_dispatching_with_its_own_code() {
    let stage = Stage::set().await;
    stage.engine.faults().outage(Outage::NotAFrontend);
    let mut dispatcher = Bridge::start_dispatch(settings(&stage));
    let ended = dispatcher.ended().await;
    assert_eq!(ended.exit, Exit::Wiring, "{ended:?}");
    assert!(ended.message.unwrap().contains("handback check"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_may_not_poll_is_told_so_and_goes_on() {
    let stage = Stage::set().await;
    let denied = Refusal::plain(Code::PermissionDenied, "Request unauthorized.");
    stage.engine.faults().add(Rule::new(Effect::Refuse(denied)).on(&[Method::PollForActivityTask]).times(20));
    let dispatcher = Bridge::start_dispatch(settings(&stage));
    dispatcher.until_unready("let this caller poll").await;
    schedule(&stage, "order-1", charge());
    until_requested(&stage, "order-1").await;
    dispatcher.until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminated_process_publishes_what_it_has_polled() {
    let stage = Stage::set().await;
    let mut settings = settings(&stage);
    settings.kafka.group_id = String::new();
    settings.bridge.drain_timeout = Duration::from_secs(30);
    settings.log.filter = "handback=trace".into();
    let mut process = Process::start_command(&settings, "dispatch");
    schedule(&stage, "order-0", charge());
    let (record, _) = until_requested(&stage, "order-0").await;
    stage.broker.with(|cluster| cluster.broker_down(-1).unwrap());
    for number in 1..=5 {
        schedule(&stage, &format!("order-{number}"), charge());
    }
    let polled = async || (1..=5).all(|number| stage.book(&format!("order-{number}")).state == ActivityState::Started);
    until("all are in its hands", polled).await;
    process.signal("TERM");
    until("it polls no more", async || process.log().contains("polling has stopped")).await;
    // What comes now stays where it is, but for what the engine gives to the two polls before it hears that they ended.
    for number in 6..=9 {
        schedule(&stage, &format!("order-{number}"), charge());
    }
    stage.broker.with(|cluster| cluster.broker_up(-1).unwrap());
    assert_eq!(process.exit_code().await, Some(Exit::Ok.code().into()), "{}", process.log());
    for number in 1..=5 {
        until_requested(&stage, &format!("order-{number}")).await;
    }
    let stays = |number: &u8| stage.book(&format!("order-{number}")).state == ActivityState::Scheduled;
    assert!((6..=9).filter(stays).count() >= 2, "it went on polling");
    let token = record.headers.last(names::CORRELATION_ID).unwrap();
    let log = process.log();
    assert!(log.contains("requests cannot be written"), "it had something to log: {log}");
    assert!(!log.contains(std::str::from_utf8(token).unwrap()), "a token is in the log");
    assert!(!log.contains("scheduleAttempt"), "a part of a token is in the log");
}
