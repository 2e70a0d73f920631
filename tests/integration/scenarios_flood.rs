//! A service that writes rubbish, on the embedded stack.

use std::time::Duration;

use handback::wire::{OutRecord, OutcomeKind};

use crate::support::{Stage, envelope, until, value};

const RUBBISH: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_rubbish_stops_its_topic_until_it_is_over_and_loses_nothing() {
    let stage = Stage::set().await;
    let mut sources = Vec::new();
    for _ in 0..RUBBISH {
        sources.push(stage.log.write(value("not what the contract asks for")).await);
    }
    let behind = stage.reply(&stage.activity("order-1"), r#""result": 1"#).await;
    let beside = envelope(&stage.activity("order-2"), r#""result": 2"#);
    let beside = stage.log.write(OutRecord { partition: Some(1), ..beside }).await;
    let limits = |settings: &mut handback::config::Settings| {
        settings.bridge.max_in_flight = 8;
        settings.flood.max_dead_letters = 20;
        // Two good replies are too few to end a trial by themselves.
        settings.flood.window = Duration::from_secs(5);
        settings.flood.pause = Duration::from_secs(1);
        settings.flood.max_pause = Duration::from_secs(1);
    };
    let bridge = stage.bridge_with(limits).await;
    bridge.until_unready("activity-replies is stopped").await;
    let (_, reasons) = bridge.readiness().await;
    assert!(reasons.contains("bad_json, the last one activity-replies/0/"), "{reasons}");
    assert!(reasons.contains("flood.enabled = false"), "{reasons}");
    assert!(stage.log.letters().len() < RUBBISH, "the topic is not drained");
    assert!(stage.log.outcomes_of(behind).is_empty());
    until("the metrics say so", async || {
        bridge.metrics().await.contains("handback_flood_state{topic=\"activity-replies\",worker=\"0\"} 2")
    })
    .await;

    stage.outcome(behind, OutcomeKind::Applied).await;
    stage.outcome(beside, OutcomeKind::Applied).await;
    stage.until_committed(behind).await;
    bridge.until_ready().await;
    for source in sources {
        assert_eq!(stage.log.outcomes_of(source).len(), 1, "{source:?}: once, however often its partition was paused");
    }
    assert_eq!(stage.log.letters().len(), RUBBISH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_tries_rubbish_out_is_not_stopped() {
    let stage = Stage::set().await;
    let bridge = stage.bridge().await;
    let mut last = (0, 0);
    for text in ["hello", "", "[1,2]", "{}", r#"{"task_token": "%%%", "result": 1}"#].iter().cycle().take(40) {
        last = stage.log.write(value(*text)).await;
    }
    stage.until_committed(last).await;
    assert!(bridge.metrics().await.contains("handback_flood_stops_total 0"));
    assert!(bridge.readiness().await.0);
}
