//! What the bridge does when the log is unwell, and when it has to stop, on the embedded stack.

use std::time::Duration;

use handback::dev::Cluster;
use handback::dev::engine::{ActivityState, Effect, Method, Rule};
use handback::exit::Exit;
use handback::wire::{OutRecord, OutcomeKind};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::support::{LETTERS, OUTCOMES, Stage, stays, until, value};

/// More refused produce requests than there are before a scenario forgets the rest of them.
const MANY: usize = 10_000;

fn refuse_produce(cluster: &Cluster, error: RDKafkaRespErr) {
    cluster.request_errors(RDKafkaApiKey::Produce, &vec![error; MANY]);
}

fn allow_produce(cluster: &Cluster) {
    cluster.clear_request_errors(RDKafkaApiKey::Produce);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_waits_for_the_outcome() {
    let stage = Stage::set().await;
    let source = stage.reply(&stage.activity("order-1"), r#""result": 1"#).await;
    stage.broker.with(|cluster| refuse_produce(cluster, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS));
    let _bridge = stage.bridge().await;
    until("the engine has the answer", async || stage.book("order-1").state == ActivityState::Closed).await;
    stays("the offset is where it was", async || stage.committed(0).await == 0).await;
    stage.broker.with(allow_produce);
    stage.outcome(source, OutcomeKind::Applied).await;
    stage.until_committed(source).await;
    assert_eq!(stage.log.outcomes_of(source).len(), 1);
    assert_eq!(stage.engine.calls(Method::Completed), 3, "one for the first look of each worker, one for the reply");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_waits_for_dead_letter_delivery() {
    let stage = Stage::set().await;
    stage.broker.with(|cluster| {
        cluster.topic_error(LETTERS, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    });
    let bridge = stage.bridge().await;
    let source = stage.log.write(value("rubbish")).await;
    bridge.until_unready(LETTERS).await;
    assert!(stage.log.outcomes_of(source).is_empty(), "the dead letter comes first");
    assert_eq!(stage.committed(0).await, 0);
    stage.broker.with(|cluster| cluster.topic_error(LETTERS, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap());
    stage.outcome(source, OutcomeKind::Rejected).await;
    assert_eq!(stage.letter(source).await.value.as_deref(), Some(&b"rubbish"[..]));
    stage.until_committed(source).await;
    bridge.until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forbidden_outcome_topic_is_a_reason_and_not_a_loss() {
    let stage = Stage::set().await;
    stage.broker.with(|cluster| {
        cluster.topic_error(OUTCOMES, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    });
    let bridge = stage.bridge().await;
    let source = stage.reply(&stage.activity("order-1"), r#""result": 1"#).await;
    bridge.until_unready(OUTCOMES).await;
    assert_eq!(stage.committed(0).await, 0);
    stage.broker.with(|cluster| cluster.topic_error(OUTCOMES, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap());
    stage.until_committed(source).await;
    stage.outcome(source, OutcomeKind::Applied).await;
    bridge.until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_never_passes_unfinished_work() {
    let stage = Stage::set().await;
    let slow = stage.activity("slow");
    stage.engine.faults().add(Rule::new(Effect::Silence).workflow("slow").times(1));
    let bridge = stage.bridge_with(|settings| settings.cadence.call_timeout = Duration::from_secs(3)).await;
    let before = stage.reply(&stage.activity("before"), r#""result": 1"#).await;
    let stuck = stage.reply(&slow, r#""result": 2"#).await;
    let after = stage.reply(&stage.activity("after"), r#""result": 3"#).await;
    stage.outcome(after, OutcomeKind::Applied).await;
    stage.until_committed(before).await;
    assert_eq!(stage.committed(0).await, stuck.1, "up to the one that is stuck, although a later one is done");
    stage.outcome(stuck, OutcomeKind::Applied).await;
    stage.until_committed(after).await;
    assert_eq!(bridge.stop().await.exit, Exit::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_finishes_work_in_hand() {
    let stage = Stage::set().await;
    let attempt = stage.activity("order-1");
    stage.engine.faults().add(Rule::new(Effect::Delay(Duration::from_millis(700))).workflow("order-1"));
    let bridge = stage.bridge().await;
    let source = stage.reply(&attempt, r#""result": 1"#).await;
    until("the call is on its way", async || stage.engine.calls(Method::Completed) == 3).await;
    let ended = bridge.stop().await;
    assert_eq!((ended.exit, ended.message), (Exit::Ok, None));
    assert_eq!(stage.committed(0).await, 1, "committed before it left");
    stage.outcome(source, OutcomeKind::Applied).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_deadline_leaves_the_offset_behind() {
    let stage = Stage::set().await;
    let attempt = stage.activity("order-1");
    stage.engine.faults().add(Rule::new(Effect::Silence).workflow("order-1").times(1));
    let bridge = stage.bridge_with(|settings| settings.bridge.drain_timeout = Duration::from_millis(500)).await;
    let before = stage.reply(&stage.activity("before"), r#""result": 0"#).await;
    stage.outcome(before, OutcomeKind::Applied).await;
    let source = stage.reply(&attempt, r#""result": 1"#).await;
    until("the call is on its way", async || stage.engine.calls(Method::Completed) == 4).await;
    let ended = bridge.stop().await;
    assert_eq!(ended.exit, Exit::DrainMissed);
    assert!(ended.message.unwrap().contains("drain_timeout"));
    assert_eq!(stage.committed(0).await, source.1, "what was finished is committed, what was not is not");

    let _next = stage.bridge().await;
    stage.outcome(source, OutcomeKind::Applied).await;
    stage.until_committed(source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_bridge_goes_on_where_the_last_one_stopped() {
    let stage = Stage::set().await;
    let mut last = (0, 0);
    for round in 0..2 {
        let bridge = stage.bridge().await;
        for number in 0..5 {
            let attempt = stage.activity(&format!("order-{round}-{number}"));
            last = stage.reply(&attempt, r#""result": 1"#).await;
        }
        stage.outcome(last, OutcomeKind::Applied).await;
        assert_eq!(bridge.stop().await.exit, Exit::Ok);
        assert_eq!(stage.committed(0).await, last.1 + 1);
    }
    assert_eq!(stage.log.outcomes().len(), 10, "each reply was handled once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_workers_share_the_partitions() {
    let stage = Stage::set().await;
    let bridge = stage.bridge_with(|settings| settings.bridge.workers = 3).await;
    let mut sources = Vec::new();
    for number in 0..40 {
        let attempt = stage.activity(&format!("order-{number}"));
        let reply = crate::support::envelope(&attempt, r#""result": 1"#);
        sources.push(stage.log.write(OutRecord { partition: Some(number % 4), ..reply }).await);
    }
    for source in &sources {
        // A partition may move while the workers join one after the other, and a reply with it.
        let outcome = stage.log.outcome(*source).await;
        assert!(matches!(outcome.kind, OutcomeKind::Applied | OutcomeKind::NotFound), "{outcome:?}");
    }
    for source in &sources[36..] {
        stage.until_committed(*source).await;
    }
    assert_eq!(bridge.stop().await.exit, Exit::Ok);
}
