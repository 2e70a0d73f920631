//! Replies that wait on retry topics, and what outlives what.

use handback::dev::engine::{Effect, Method, Refusal, Rule};
use handback::wire::{OutcomeKind, names};
use tonic::Code;

use crate::support::{LETTERS, Stage, TIERS, until, value};

fn away(workflow_id: &str, times: u64) -> Rule {
    let away = Rule::new(Effect::Refuse(Refusal::plain(Code::Unavailable, "shard is moving")));
    away.on(&[Method::Completed]).workflow(workflow_id).times(times)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_waits_on_a_retry_topic_outlives_its_bridge() {
    let stage = Stage::set().await;
    let attempt = stage.activity("order-1");
    stage.engine.faults().add(away("order-1", 5));
    let bridge = stage.bridge_with(|settings| settings.retry.max_attempts = 3).await;
    let source = stage.reply(&attempt, r#""result": 1"#).await;
    stage.until_committed(source).await;
    assert!(stage.log.outcomes_of(source).is_empty(), "its partition goes on without it");
    let moved = stage.log.moved(source).await;
    assert_eq!(moved[0].origin.topic.as_ref(), TIERS[0]);
    assert_eq!(moved[0].headers.last(names::ATTEMPTS).map(|text| &text[..]), Some(&b"3"[..]));
    bridge.stop().await;

    let _next = stage.bridge_with(|settings| settings.retry.max_attempts = 3).await;
    let outcome = stage.outcome(source, OutcomeKind::Applied).await;
    assert_eq!(outcome.attempts, 6, "3 in place, and 2 failed from the retry topic");
    let document: serde_json::Value =
        serde_json::from_slice(stage.log.outcome_record(source).await.value.as_ref().unwrap()).unwrap();
    let first_seen = moved[0].headers.last(names::FIRST_SEEN).unwrap();
    assert_eq!(document["received_at"].as_str().unwrap().as_bytes(), &first_seen[..]);
    until("the retry topic is passed", async || {
        stage.log.committed_of("bridge-under-test-retry", TIERS[0], source.0).await == Some(moved[0].origin.offset + 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_fails_on_every_tier_is_exhausted_as_it_was_received() {
    let stage = Stage::set().await;
    let attempt = stage.activity("order-1");
    stage.engine.faults().add(away("order-1", 6));
    let bridge = stage.bridge_with(|settings| settings.retry.max_attempts = 2).await;
    let source = stage.reply(&attempt, r#""result": {"of": "the service"}"#).await;
    let outcome = stage.outcome(source, OutcomeKind::Exhausted).await;
    assert_eq!(outcome.attempts, 6);
    let topics: Vec<_> = stage.log.moved(source).await.iter().map(|record| record.origin.topic.to_string()).collect();
    assert_eq!(topics, TIERS);
    let letter = stage.letter(source).await;
    assert_eq!(letter.headers.count(names::ATTEMPTS), 0, "what handback wrote for itself is gone");
    assert_eq!(letter.headers.last(names::DLQ_ATTEMPTS).map(|text| &text[..]), Some(&b"6"[..]));
    assert!(bridge.metrics().await.contains("handback_postponed_total{cause=\"failing\"} 2"));

    // The dead letter, replayed: nothing that was not judged by the engine stands in its way.
    let headers = letter.headers.iter().filter(|(name, _)| !name.starts_with("handback-dlq-"));
    let headers = headers.map(|(name, value)| (name.clone(), value.cloned())).collect();
    let mut replay = value(letter.value.unwrap());
    replay.headers = headers;
    let replayed = stage.log.write(replay).await;
    stage.outcome(replayed, OutcomeKind::Applied).await;
}

/// The embedded broker keeps at most 5 MB of a partition: were these replies moved as large as they are, the first would be
/// gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_on_a_retry_topic_and_what_is_a_dead_letter_stands_there_compressed() {
    const REPLIES: i64 = 7;
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    // Nobody has asked for it: each waits once, and is a dead letter then.
    let large = format!(r#""action": "cancel", "details": "{}""#, "x".repeat(900_000));
    let mut sources = Vec::new();
    for number in 0..REPLIES {
        let attempt = stage.activity(&format!("order-{number}"));
        let source = stage.reply(&attempt, &large).await;
        // The reply topic keeps no more either.
        stage.until_committed(source).await;
        sources.push(source);
    }
    for source in sources {
        stage.outcome(source, OutcomeKind::Rejected).await;
    }
    for topic in [TIERS[0], LETTERS] {
        assert_eq!(stage.log.watermarks(topic, 0).await, (0, REPLIES), "{topic} has all of them");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_the_retry_topics_and_no_reply_is_lost_between_them() {
    let stage = Stage::set().await;
    let settings = |settings: &mut handback::config::Settings| settings.retry.max_attempts = 2;
    let first = stage.bridge_with(settings).await;
    let _second = stage.bridge_with(settings).await;
    let mut sources = Vec::new();
    // Too few for the breaker to see.
    for number in 0..4 {
        let workflow_id = format!("order-{number}");
        let attempt = stage.activity(&workflow_id);
        stage.engine.faults().add(away(&workflow_id, 3));
        sources.push(stage.reply(&attempt, &format!(r#""result": {number}"#)).await);
    }
    for source in &sources {
        stage.until_committed(*source).await;
    }
    first.stop().await;
    for source in sources {
        stage.outcome(source, OutcomeKind::Applied).await;
        assert!(!stage.log.moved(source).await.is_empty());
    }
    assert!(stage.log.letters().is_empty());
}
