//! The stage on which scenarios are played: embedded broker and engine, the bridge, and the clients of everybody else.

mod bridge;
mod log;
mod process;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use handback::config::Settings;
use handback::dev::engine::{ActivityBook, ActivityPlan, Attempt, Engine, Options, Plan};
use handback::dev::{self, Broker};
use handback::wire::{Headers, OutRecord, Outcome, OutcomeKind, Record};
use tokio::net::TcpListener;

pub(crate) use bridge::Bridge;
pub(crate) use log::{Log, Source};
pub(crate) use process::Process;

/// Longest that any awaited event may take on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) const DOMAIN: &str = "shop";
pub(crate) const REQUESTS: &str = "activity-requests";
pub(crate) const REPLIES: &str = "activity-replies";
pub(crate) const OUTCOMES: &str = "activity-outcomes";
pub(crate) const LETTERS: &str = "activity-replies-dlq";
pub(crate) const PARTITIONS: i32 = 4;

/// The retry topics: with delays that a test has the patience for.
pub(crate) const TIERS: [&str; 2] = ["activity-replies-retry-500ms", "activity-replies-retry-1s"];

pub(crate) const TASK_LIST: &str = "tasks";

/// Broker, engine and clients. Bridges are started by the scenarios.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) log: Log,
    pub(crate) broker: Broker,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        // RUST_LOG=handback=debug shows what a failing test did.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let topics =
            [REQUESTS, REPLIES, OUTCOMES, LETTERS].into_iter().chain(TIERS).map(|topic| (topic.to_owned(), PARTITIONS));
        let topics: Vec<_> = topics.collect();
        let broker = Broker::start(&topics).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let engine = Engine::with(listener, options).unwrap();
        engine.register_domain(DOMAIN).unwrap();
        let log = Log::open(broker.bootstrap_servers());
        Self { engine, log, broker }
    }

    /// Settings that fit the stage, quick in everything.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = dev::settings(self.broker.bootstrap_servers(), &self.engine.endpoint());
        "bridge-under-test".clone_into(&mut settings.kafka.group_id);
        settings.retry.initial = Duration::from_millis(20);
        settings.retry.spent = Duration::from_millis(200);
        settings.topics.retry = TIERS.map(str::to_owned).into();
        settings.lookup.wait = Duration::from_millis(500);
        settings
    }

    pub(crate) async fn bridge(&self) -> Bridge {
        self.bridge_with(|_| {}).await
    }

    pub(crate) async fn bridge_with(&self, change: impl FnOnce(&mut Settings)) -> Bridge {
        let mut settings = self.settings();
        change(&mut settings);
        Bridge::start(settings)
    }

    /// Starts a workflow with this one activity, and takes the activity as a worker would.
    pub(crate) fn start(&self, workflow_id: &str, activity: ActivityPlan) -> Attempt {
        self.engine.start_workflow(DOMAIN, workflow_id, TASK_LIST, Plan::parallel([activity])).unwrap();
        self.take().unwrap()
    }

    /// A workflow with one activity without heartbeats and retries.
    pub(crate) fn activity(&self, workflow_id: &str) -> Attempt {
        self.start(workflow_id, ActivityPlan::new("charge", "ChargeCard"))
    }

    /// The next attempt that waits for a worker.
    pub(crate) fn take(&self) -> Option<Attempt> {
        self.engine.take(DOMAIN, TASK_LIST, "worker-under-test").unwrap()
    }

    /// What the engine has of a workflow's only activity.
    pub(crate) fn book(&self, workflow_id: &str) -> ActivityBook {
        self.engine.books().workflow(workflow_id).unwrap().activities[0].clone()
    }

    /// Writes an envelope with the attempt's token and these fields.
    pub(crate) async fn reply(&self, attempt: &Attempt, fields: &str) -> Source {
        self.log.write(envelope(attempt, fields)).await
    }

    /// Waits for the outcome of a reply and holds it to be of this kind.
    pub(crate) async fn outcome(&self, source: Source, kind: OutcomeKind) -> Outcome {
        let outcome = self.log.outcome(source).await;
        assert_eq!(outcome.kind, kind, "{outcome:?}");
        outcome
    }

    /// Waits for the dead letter of a reply.
    pub(crate) async fn letter(&self, source: Source) -> Record {
        self.log.letter(source).await
    }

    /// The group's committed offset, 0 without one.
    pub(crate) async fn committed(&self, partition: i32) -> i64 {
        self.log.committed("bridge-under-test", partition).await.unwrap_or(0)
    }

    /// Waits until the reply's offset is committed.
    pub(crate) async fn until_committed(&self, source: Source) {
        let (partition, offset) = source;
        until(&format!("offset {offset} of partition {partition} is committed"), async || {
            self.committed(partition).await > offset
        })
        .await;
    }

    /// The identity that the bridge gives to the engine for this outcome.
    pub(crate) async fn identity(&self, outcome: &Outcome) -> String {
        let fingerprint = outcome.fingerprint.unwrap();
        format!("handback/1/{}/{}/{fingerprint}", self.log.cluster_id().await, outcome.source)
    }
}

/// An envelope record with the attempt's token and these fields, without key, for the first partition.
pub(crate) fn envelope(attempt: &Attempt, fields: &str) -> OutRecord {
    value(format!(r#"{{"task_token":"{}",{fields}}}"#, STANDARD.encode(&attempt.token)))
}

/// A record for the first partition of the reply topic.
pub(crate) fn value(value: impl Into<Bytes>) -> OutRecord {
    OutRecord {
        topic: REPLIES.into(),
        partition: Some(0),
        key: None,
        value: Some(value.into()),
        headers: Headers::new(),
    }
}

/// Waits until `holds`, looking often.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}

/// Holds that `holds` goes on for a while: several times the intervals at which the bridge stores and commits.
pub(crate) async fn stays(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_millis(600) {
        assert!(holds().await, "no more: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
