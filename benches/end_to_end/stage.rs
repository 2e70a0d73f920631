//! The stage: a broker with a full reply topic, and an engine that says OK to everything.

use std::env;
use std::io::Read;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handback::dev::engine::Engine;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::util::Timeout;
use tokio::net::TcpListener;

use super::figures::Stage;

/// What `handback topics create` makes.
pub(crate) const PARTITIONS: usize = 12;

/// The mock drops the oldest records of a partition beyond 5 MiB: longer runs need more partitions.
const RECORDS_PER_PARTITION: usize = 8_500;

/// Size of an envelope, as in the measurements that this bench is compared with.
pub(crate) const ENVELOPE: usize = 510;

pub(crate) fn play(records: usize) {
    let partitions = PARTITIONS.max(records.div_ceil(RECORDS_PER_PARTITION)) as i32;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let engine = runtime.block_on(async { Engine::sink(listener) }).unwrap();
    let mock = env::var("HANDBACK_BENCH_BROKERS").is_err().then(|| MockCluster::new(1).unwrap());
    let brokers = match &mock {
        Some(mock) => mock.bootstrap_servers(),
        None => env::var("HANDBACK_BENCH_BROKERS").unwrap(),
    };
    let stage = Stage {
        brokers,
        endpoint: engine.endpoint(),
        envelope_bytes: ENVELOPE,
        run: format!("{}", std::process::id()),
        ..Stage::default()
    };
    for topic in ["replies", "outcomes", "dlq", "retry-30s"] {
        match &mock {
            Some(mock) => mock.create_topic(&stage.topic(topic), partitions, 1).unwrap(),
            None => runtime.block_on(create(&stage, topic, partitions)),
        }
    }
    fill(&stage, records, partitions);
    if let (Some(mock), Ok(ms)) = (&mock, env::var("HANDBACK_BENCH_RTT_MS")) {
        mock.broker_round_trip_time(1, Duration::from_millis(ms.parse().expect("a number"))).unwrap();
    }
    stage.print();
    runtime.spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    runtime.block_on(std::future::pending::<()>());
}

pub(crate) async fn create(stage: &Stage, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &stage.brokers).create().unwrap();
    let name = stage.topic(topic);
    let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    let created = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    assert!(created.iter().all(Result::is_ok), "{created:?}");
}

pub(crate) fn fill(stage: &Stage, records: usize, partitions: i32) {
    let producer: ThreadedProducer<_> = ClientConfig::new()
        .set("bootstrap.servers", &stage.brokers)
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .unwrap();
    let topic = stage.topic("replies");
    for number in 0..records {
        let value = envelope(&format!("order-{number:08}"));
        let partition = number as i32 % partitions;
        producer
            .send(BaseRecord::<(), _>::to(&topic).partition(partition).payload(&value))
            .map_err(|(e, _)| e)
            .unwrap();
    }
    producer.flush(Timeout::After(Duration::from_secs(60))).unwrap();
}

/// A reply of [`ENVELOPE`] bytes to an activity of that workflow.
pub(crate) fn envelope(workflow_id: &str) -> String {
    let token = serde_json::json!({
        "domainId": "0197b3b0-0000-7000-8000-000000000001", "workflowId": workflow_id,
        "workflowType": "OrderWorkflow", "runId": "b5c5b5c5-0000-4000-8000-000000000001",
        "scheduleId": 12, "scheduleAttempt": 0, "activityId": "3", "activityType": "ChargeCard",
    });
    let token = BASE64_STANDARD.encode(token.to_string());
    let head = format!(r#"{{"task_token":"{token}","result":{{"charge_id":"ch_{workflow_id}","note":""#);
    let pad = ENVELOPE.saturating_sub(head.len() + 3);
    format!("{head}{}\"}}}}", "x".repeat(pad))
}
