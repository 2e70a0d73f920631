//! What a process says and does before it has read anything.

use std::sync::Arc;
use std::time::Duration;

use handback::Ended;
use handback::config::{GroupProtocol, Settings};
use handback::engine::{Accepted, Call, CallError, DomainRef, Engine, Probed, Reach, Sight, Wiring};
use handback::exit::Exit;
use handback::kafka::{self, Batches, ConsumerSpec, OnGap};
use handback::wire::Target;
use tokio_util::sync::CancellationToken;

use crate::support::{Bridge, REPLIES, Stage, until};

/// Something that is no Cadence frontend, and takes its time to say so: longer than joining a group takes.
struct Stranger;

impl Engine for Stranger {
    async fn call(&self, _call: Call<'_>) -> Result<Accepted, CallError> {
        unreachable!("nothing may be read")
    }

    async fn probe_wiring(&self) -> Wiring {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Wiring::Broken("404 page not found".to_owned())
    }

    async fn probe_history(&self, _domain: &DomainRef, _workflow_id: &str) -> Probed {
        Probed::Unwell("404 page not found".to_owned())
    }

    async fn domain_name(&self, _id: &str) -> Result<Option<Arc<str>>, CallError> {
        Ok(None)
    }

    async fn domain_id(&self, _name: &str) -> Result<Option<Arc<str>>, CallError> {
        Ok(None)
    }

    async fn look(&self, _target: &Target, _reach: Reach) -> Result<Sight, CallError> {
        Ok(Sight::Nothing)
    }
}

fn classic(stage: &Stage) -> Settings {
    let mut settings = stage.settings();
    settings.kafka.group_protocol = GroupProtocol::Classic;
    // The mock cluster forgets members whose session ends within the three seconds of the first join.
    settings.kafka.session_timeout = Duration::from_millis(3600);
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_a_wrong_endpoint_costs_the_healthy_members_no_rebalance() {
    let stage = Stage::set().await;
    let settings = classic(&stage);
    let mut healthy = kafka::spawn(ConsumerSpec {
        name: "healthy".to_owned(),
        config: kafka::client::consumer(&settings.kafka, 0, 1),
        topics: [Arc::from(REPLIES)].into(),
        on_gap: OnGap::Stop,
        batches: Batches::of_replies(32 << 20),
        accept_recreated: Vec::new(),
        revoke_timeout: Duration::from_secs(2),
        lookup_timeout: Duration::from_secs(5),
        statistics_interval: Duration::from_secs(1),
        observer: Arc::new(()),
    })
    .unwrap();
    let assigned = tokio::time::timeout(Duration::from_secs(40), healthy.control.recv()).await.unwrap();
    assert!(assigned.is_some());
    let Ended { exit, message } = handback::run_with(&settings, || Ok(Stranger), CancellationToken::new()).await;
    assert_eq!(exit, Exit::Wiring, "{message:?}");
    // A member that joins takes partitions away, and one that leaves gives some.
    let after = tokio::time::timeout(Duration::from_secs(5), healthy.control.recv()).await;
    assert!(after.is_err(), "the group was rebalanced: {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_is_not_ready_for_a_moment_before_its_workers_have_their_engine() {
    let stage = Stage::set().await;
    let settings = stage.settings();
    let (asked, begun) = std::sync::mpsc::channel();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = Arc::new(std::sync::Mutex::new(gone));
    let mut bridge = Bridge::start_with(settings, move || {
        // Only the first is waited for.
        let _ = asked.send(());
        // Whoever makes a client may read files, or ask somebody for a secret.
        gone.lock().unwrap().recv().map_err(|_| "no engine any more".to_owned()).map(|()| Stranger)
    });
    tokio::task::spawn_blocking(move || begun.recv_timeout(Duration::from_secs(60))).await.unwrap().unwrap();
    for _ in 0..20 {
        bridge.until_unready("before the group is joined").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(go);
    bridge.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misspelt_topic_is_told_by_name_within_seconds_and_is_not_made() {
    let stage = Stage::set().await;
    let change = |settings: &mut Settings| {
        "activity-outcoms".clone_into(&mut settings.topics.outcomes);
        "activity-letters".clone_into(&mut settings.topics.dead_letters);
        settings.topics.retry.push("activity-retry-2s".to_owned());
    };
    let bridge = stage.bridge_with(change).await;
    for name in [
        "activity-outcoms (topics.outcomes)",
        "activity-letters (topics.dead_letters)",
        "activity-retry-2s (topics.retry)",
    ] {
        bridge.until_unready(name).await;
    }
    // Asked for again and again it is not made either.
    bridge.until_unready("activity-outcoms (topics.outcomes) does not exist").await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_request_topic_is_told_before_anything_is_dispatched() {
    let stage = Stage::set().await;
    let mut settings = stage.settings();
    settings.dispatch.routes = vec![handback::config::Route {
        domain: crate::support::DOMAIN.to_owned(),
        task_list: "tasks".to_owned(),
        topic: "chargs".to_owned(),
        ..Default::default()
    }];
    let bridge = crate::support::Bridge::start_dispatch(settings);
    bridge.until_unready("chargs (dispatch.routes) does not exist").await;
    until("it is still so", async || !bridge.readiness().await.0).await;
    bridge.stop().await;
}
