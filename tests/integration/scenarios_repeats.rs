//! The same reply more than once: applied once, recorded once, whoever reads it when.

use std::collections::BTreeMap;

use handback::dev::engine::Method;
use handback::wire::{OutRecord, OutcomeKind};

use crate::support::{Bridge, PARTITIONS, Source, Stage, envelope, until};

/// Answers this many activities, in all partitions in turn.
async fn answers(stage: &Stage, count: i32) -> Vec<Source> {
    let mut sources = Vec::new();
    for number in 0..count {
        let attempt = stage.activity(&format!("order-{number}"));
        let reply = envelope(&attempt, &format!(r#""result": {number}"#));
        sources.push(stage.log.write(OutRecord { partition: Some(number % PARTITIONS), ..reply }).await);
    }
    sources
}

/// Another consumer group reads everything from the beginning: as after a restore of old offsets.
async fn second_group(stage: &Stage) -> Bridge {
    stage.bridge_with(|settings| "restored".clone_into(&mut settings.kafka.group_id)).await
}

async fn until_read(stage: &Stage, sources: &[Source]) {
    for (partition, offset) in sources {
        let what = format!("{offset} of {partition} is committed by the second group");
        until(&what, async || stage.log.committed("restored", *partition).await > Some(*offset)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_are_read_again_from_the_beginning_are_settled_without_a_call() {
    let stage = Stage::set().await;
    let first = stage.bridge().await;
    let sources = answers(&stage, 40).await;
    for source in &sources {
        stage.outcome(*source, OutcomeKind::Applied).await;
    }
    first.stop().await;

    let calls = stage.engine.calls(Method::Completed);
    let second = second_group(&stage).await;
    until_read(&stage, &sources).await;
    assert_eq!(stage.engine.calls(Method::Completed), calls + 2, "the first look of each worker alone");
    assert_eq!(stage.log.outcomes().len(), 40, "and nothing is recorded twice");
    assert!(second.metrics().await.contains("handback_ledger_hits_total 40"));
    assert!(second.metrics().await.contains("handback_ledger_entries{worker=\"0\"} 40"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_in_two_partitions_make_one_applied() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let mut copies = BTreeMap::new();
    for number in 0..20 {
        let attempt = stage.activity(&format!("order-{number}"));
        let reply = envelope(&attempt, &format!(r#""result": {number}"#));
        for partition in [number % PARTITIONS, (number + 1) % PARTITIONS] {
            let source = stage.log.write(OutRecord { partition: Some(partition), ..reply.clone() }).await;
            copies.entry(number).or_insert_with(Vec::new).push(source);
        }
    }
    for sources in copies.values() {
        let kinds = [stage.log.outcome(sources[0]).await.kind, stage.log.outcome(sources[1]).await.kind];
        // By history: the ledger of one partition knows nothing of the other.
        assert!(kinds.contains(&OutcomeKind::Applied) && kinds.contains(&OutcomeKind::Duplicate), "{kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_in_two_partitions_and_in_two_members_make_one_applied() {
    let stage = Stage::set().await;
    let members = [stage.bridge().await, stage.bridge().await];
    let reads = |metrics: &str| metrics.contains("handback_lag_records{topic=\"activity-replies\"");
    for member in &members {
        until("each member has partitions", async || reads(&member.metrics().await)).await;
    }
    let mut copies = Vec::new();
    for number in 0..20 {
        let attempt = stage.activity(&format!("order-{number}"));
        let reply = envelope(&attempt, &format!(r#""result": {number}"#));
        let mut sources = Vec::new();
        for partition in 0..PARTITIONS {
            sources.push(stage.log.write(OutRecord { partition: Some(partition), ..reply.clone() }).await);
        }
        copies.push(sources);
    }
    for sources in &copies {
        let mut applied = 0;
        for source in sources {
            let kind = stage.log.outcome(*source).await.kind;
            assert!(matches!(kind, OutcomeKind::Applied | OutcomeKind::Duplicate), "{kind}");
            applied += usize::from(kind == OutcomeKind::Applied);
        }
        assert_eq!(applied, 1);
    }
    for member in members {
        let metrics = member.metrics().await;
        let nothing = ["applied", "duplicate"]
            .iter()
            .all(|outcome| metrics.contains(&format!("handback_outcomes_total{{outcome=\"{outcome}\"}} 0")));
        assert!(!nothing, "each had a part in it");
    }
}
