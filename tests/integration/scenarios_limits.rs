//! What this installation does not let through, and how fast it goes, on the embedded stack.

use std::time::Duration;

use handback::dev::engine::{ActivityState, Method};
use handback::wire::{OutcomeKind, names};
use tokio::time::Instant;

use crate::support::{DOMAIN, Stage, envelope, until, value};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_result_is_refused_before_the_engine_is_asked() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge_with(|settings| settings.bridge.max_payload_bytes = 1000).await;
    let attempt = stage.activity("order-1");
    let large = stage.reply(&attempt, &format!(r#""result": "{}""#, "x".repeat(999))).await;
    let outcome = stage.outcome(large, OutcomeKind::Rejected).await;
    assert_eq!(outcome.reason.as_deref(), Some("too_large"));
    stage.letter(large).await;
    assert_eq!(stage.book("order-1").state, ActivityState::Started, "the engine would have failed it");
    let fits = stage.reply(&attempt, &format!(r#""result": "{}""#, "x".repeat(998))).await;
    stage.outcome(fits, OutcomeKind::Applied).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reply_to_a_domain_that_is_not_on_the_list_is_refused() {
    let stage = Stage::set().await;
    stage.engine.register_domain("other").unwrap();
    let _bridge = stage.bridge_with(|settings| settings.cadence.domains = vec!["other".to_owned()]).await;
    let attempt = stage.activity("order-1");
    let by_token = stage.log.write(envelope(&attempt, r#""result": 1"#)).await;
    let id = format!(
        r#"{{"domain": "{DOMAIN}", "workflow_id": "order-1", "run_id": "{}", "activity_id": "charge"}}"#,
        attempt.run_id
    );
    let by_id = stage.log.write(value(format!(r#"{{"activity": {id}, "result": 1}}"#))).await;
    for source in [by_token, by_id] {
        let outcome = stage.outcome(source, OutcomeKind::Rejected).await;
        assert_eq!(outcome.reason.as_deref(), Some("domain_not_allowed"));
        let letter = stage.letter(source).await;
        assert_eq!(letter.headers.last(names::DLQ_REASON).map(|code| &code[..]), Some(&b"domain_not_allowed"[..]));
    }
    assert_eq!(stage.book("order-1").state, ActivityState::Started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_a_second_are_limited() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge_with(|settings| settings.cadence.max_calls_per_second = 20).await;
    let began = Instant::now();
    let mut last = (0, 0);
    for number in 0..50 {
        last = stage.reply(&stage.activity(&format!("order-{number}")), r#""result": 1"#).await;
    }
    stage.until_committed(last).await;
    // A second's worth may go at once, the other thirty at the rate.
    assert!(began.elapsed() >= Duration::from_millis(29 * 50), "{:?}", began.elapsed());
    assert_eq!(stage.engine.calls(Method::Completed), 52, "one for the first look of each worker");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_place_in_flight_is_enough_for_everything_to_be_answered() {
    let stage = Stage::set().await;
    let limits = |settings: &mut handback::config::Settings| {
        settings.bridge.max_in_flight = 1;
        settings.bridge.max_recording = 1;
        settings.bridge.max_gap = 2;
        settings.bridge.max_lane_depth = 1;
        settings.bridge.max_payload_bytes = 2000;
        settings.bridge.max_in_flight_bytes = 2000;
    };
    let _bridge = stage.bridge_with(limits).await;
    let attempt = stage.activity("busy");
    let mut beats = 0;
    let mut last = (0, 0);
    for number in 0..20 {
        // Several for one lane, so that its depth is reached.
        stage.reply(&attempt, r#""action": "heartbeat""#).await;
        beats += 1;
        last = stage.reply(&stage.activity(&format!("order-{number}")), r#""result": 1"#).await;
    }
    stage.until_committed(last).await;
    until("every activity is closed", async || {
        (0..20).all(|number| stage.book(&format!("order-{number}")).state == ActivityState::Closed)
    })
    .await;
    assert!((1..=beats).contains(&stage.book("busy").heartbeats));
    assert_eq!(stage.log.outcomes().len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_what_happened() {
    let stage = Stage::set().await;
    let bridge = stage.bridge().await;
    let good = stage.reply(&stage.activity("order-1"), r#""result": 1"#).await;
    let bad = stage.log.write(value("rubbish")).await;
    stage.outcome(good, OutcomeKind::Applied).await;
    stage.until_committed(bad).await;
    until("the metrics have it all", async || {
        let metrics = bridge.metrics().await;
        let count = |name: &str, label: &str| {
            let line = metrics.lines().find(|line| line.starts_with(name) && line.contains(label));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        };
        count("handback_outcomes_total", "applied") == Some(1.0)
            && count("handback_outcomes_total", "rejected") == Some(1.0)
            && count("handback_dead_letters_total", "") == Some(1.0)
            && count("handback_lag_records", "partition=\"0\"") == Some(0.0)
    })
    .await;
}
