//! What becomes of replies while the engine is unwell, on the embedded stack.

use std::time::Duration;

use handback::dev::engine::{ActivityState, Attempt, Effect, Method, Outage, Refusal, Rule};
use handback::exit::Exit;
use handback::wire::{Evidence, OutcomeKind};
use tonic::Code;

use crate::support::{Source, Stage, until, value};

/// Activities in flight when the engine goes: enough to open a breaker that wants five workflows.
const MANY: usize = 12;

async fn answer_many(stage: &Stage) -> Vec<Source> {
    let attempts: Vec<Attempt> = (0..MANY).map(|number| stage.activity(&format!("order-{number}"))).collect();
    let mut sources = Vec::new();
    for attempt in &attempts {
        sources.push(stage.reply(attempt, r#""result": 1"#).await);
    }
    sources
}

async fn all_applied(stage: &Stage, sources: &[Source]) {
    for source in sources {
        stage.outcome(*source, OutcomeKind::Applied).await;
    }
    stage.until_committed(*sources.last().unwrap()).await;
    assert!(stage.log.letters().is_empty(), "nothing is given up");
    let closed = (0..MANY).all(|number| stage.book(&format!("order-{number}")).state == ActivityState::Closed);
    assert!(closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unavailable_is_retried_until_it_answers() {
    let stage = Stage::set().await;
    let attempt = stage.activity("order-1");
    // For this workflow only: the probe of the wiring at the start is a completion too.
    let away = Rule::new(Effect::Refuse(Refusal::plain(Code::Unavailable, "shard is moving")));
    stage.engine.faults().add(away.on(&[Method::Completed]).workflow("order-1").times(2));
    let _bridge = stage.bridge().await;
    let source = stage.reply(&attempt, r#""result": 1"#).await;
    assert_eq!(stage.outcome(source, OutcomeKind::Applied).await.attempts, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spent_reply_is_tried_again_from_retry_topics() {
    let stage = Stage::set().await;
    let attempt = stage.activity("order-1");
    let away = Rule::new(Effect::Refuse(Refusal::plain(Code::Unavailable, "shard is moving")));
    stage.engine.faults().add(away.on(&[Method::Completed]).workflow("order-1").times(8));
    let _bridge = stage.bridge_with(|settings| settings.retry.max_attempts = 3).await;
    let source = stage.reply(&attempt, r#""result": 1"#).await;
    // Another activity on the same partition does not wait for it.
    let other = stage.reply(&stage.activity("order-2"), r#""result": 2"#).await;
    stage.outcome(other, OutcomeKind::Applied).await;
    assert_eq!(stage.outcome(source, OutcomeKind::Applied).await.attempts, 9);
    stage.until_committed(other).await;
    assert!(stage.log.letters().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engine_without_history_opens_the_breaker_and_loses_nothing() {
    let stage = Stage::set().await;
    let bridge = stage.bridge_with(|settings| settings.cadence.call_timeout = Duration::from_millis(300)).await;
    bridge.until_ready().await;
    stage.engine.faults().outage(Outage::History);
    let sources = answer_many(&stage).await;
    bridge.until_unready("the engine is unwell").await;
    let called = stage.engine.calls(Method::Completed);
    assert_eq!(stage.committed(0).await, 0, "no offset moves while nothing is answered");

    stage.engine.faults().outage(Outage::None);
    all_applied(&stage, &sources).await;
    bridge.until_ready().await;
    assert!(called < 10 * MANY as u64, "an open breaker makes no calls: {called}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engine_restart_loses_nothing() {
    let stage = Stage::set().await;
    let bridge = stage.bridge().await;
    let before = stage.reply(&stage.activity("before"), r#""result": 1"#).await;
    stage.outcome(before, OutcomeKind::Applied).await;
    stage.engine.faults().outage(Outage::Frontend);
    let sources = answer_many(&stage).await;
    bridge.until_unready("the engine is unwell").await;
    stage.engine.faults().outage(Outage::None);
    all_applied(&stage, &sources).await;
    bridge.until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge_that_finds_no_engine_waits_for_one() {
    let stage = Stage::set().await;
    stage.engine.faults().outage(Outage::Frontend);
    let bridge = stage.bridge().await;
    let sources = answer_many(&stage).await;
    bridge.until_unready("engine").await;
    stage.engine.faults().outage(Outage::None);
    all_applied(&stage, &sources).await;
    bridge.until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wiring_fault_stops_instead_of_draining_the_topic() {
    let stage = Stage::set().await;
    let mut bridge = stage.bridge().await;
    let good = stage.reply(&stage.activity("before"), r#""result": 1"#).await;
    stage.until_committed(good).await;
    stage.engine.faults().outage(Outage::NotAFrontend);
    answer_many(&stage).await;
    let ended = bridge.ended().await;
    assert_eq!(ended.exit, Exit::Wiring);
    assert!(ended.message.unwrap().contains("cadence.endpoint"));
    assert_eq!(stage.committed(0).await, 1, "offsets are untouched");
    assert_eq!(stage.log.outcomes().len(), 1);
    assert!(stage.log.letters().is_empty());

    // At the start it is noticed before anything is read.
    let ended = stage.bridge().await.ended().await;
    assert_eq!(ended.exit, Exit::Wiring);
    assert_eq!(stage.committed(0).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_odd_answer_does_not_stop_the_bridge() {
    let stage = Stage::set().await;
    let attempt = stage.activity("order-1");
    let odd = Rule::new(Effect::Refuse(Refusal::at_the_door(Code::Unimplemented, "unknown service")));
    stage.engine.faults().add(odd.workflow("order-1").times(1));
    let bridge = stage.bridge().await;
    let source = stage.reply(&attempt, r#""result": 1"#).await;
    stage.outcome(source, OutcomeKind::Applied).await;
    bridge.until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_whose_acknowledgement_was_lost_is_applied_by_history() {
    let stage = Stage::set().await;
    let attempt = stage.activity("order-1");
    stage.engine.faults().add(Rule::new(Effect::ApplyThenReset).workflow("order-1").times(1));
    let _bridge = stage.bridge().await;
    let source = stage.reply(&attempt, r#""result": 1"#).await;
    let outcome = stage.outcome(source, OutcomeKind::Applied).await;
    assert_eq!((outcome.attempts, outcome.evidence), (2, Some(Evidence::History)));
    assert_eq!(stage.book("order-1").closing.unwrap().payload.as_deref(), Some(&b"1"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reply_to_an_unknown_domain_of_the_settings_waits_for_it_and_says_so() {
    let stage = Stage::set().await;
    let bridge = stage
        .bridge_with(|settings| {
            settings.retry.spent = Duration::from_millis(100);
            settings.cadence.domains = vec!["later".to_owned()];
        })
        .await;
    let id = r#"{"domain": "later", "workflow_id": "order-1", "run_id": "6b0b3f5c-1d1f-4f0e-9d5c-0a6a5a5a5a5a", "activity_id": "1"}"#;
    let source = stage.log.write(value(format!(r#"{{"activity": {id}, "result": 1}}"#))).await;
    bridge.until_unready("later").await;
    assert!(stage.log.outcomes_of(source).is_empty());
    stage.engine.register_domain("later").unwrap();
    stage.outcome(source, OutcomeKind::Unknown).await;
    bridge.until_ready().await;
    stage.until_committed(source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_activity_holds_up_no_other() {
    let stage = Stage::set().await;
    let slow = stage.activity("slow");
    stage.engine.faults().add(Rule::new(Effect::Delay(Duration::from_secs(2))).workflow("slow").times(1));
    let _bridge = stage.bridge().await;
    let first = stage.reply(&slow, r#""result": 1"#).await;
    let second = stage.reply(&stage.activity("quick"), r#""result": 2"#).await;
    stage.outcome(second, OutcomeKind::Applied).await;
    assert!(stage.log.outcomes_of(first).is_empty(), "the quick one did not wait for the slow one");
    assert_eq!(stage.committed(0).await, 0, "the offset waits for the slow one");
    stage.outcome(first, OutcomeKind::Applied).await;
    stage.until_committed(second).await;
    until("both are closed", async || stage.book("slow").state == ActivityState::Closed).await;
}
