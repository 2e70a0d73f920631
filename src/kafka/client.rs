//! From settings to librdkafka's: our defaults first, then what the user passes on, last what handback's promises
//! depend on.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::config::{GroupProtocol, Kafka, Properties};

/// librdkafka stops fetching a partition for this long when its queue is full, even if the queue empties at once. The
/// default of a second cuts throughput to a quarter for any consumer slower than the broker.
const FETCH_QUEUE_BACKOFF_MS: u32 = 20;

/// Records read ahead, in KiB: a tenth of a second at full speed, 50,000 replies of half a KiB a second. With 16 MiB the
/// process takes 35 MiB more and is no faster (bench `end_to_end`); what is read ahead is read again after a pause or a
/// rebalance.
const READ_AHEAD_KIB: u32 = 4 * 1024;

/// Most that one answer of a broker holds over all partitions (a larger record comes alone): without it a backlog in 64
/// partitions comes as 50 MiB at once.
const FETCH_MAX_BYTES: u32 = 4 * 1024 * 1024;

/// The same of retry topics, where it waits until it is due: for each of their partitions this much and a batch more.
const RETRY_READ_AHEAD_KIB: u32 = 1024;

/// Outcomes are awaited in a window of their own, off the path from a reply to its activity, so that batching costs the
/// offset some latency and nothing else. Shorter means more requests, longer means more memory in use at once and colder
/// caches: of 5, 10, 20 and 50 ms this one took the least CPU at 50,000 records a second (bench `end_to_end`).
const LINGER_MS: u32 = 5;

/// Several times a leader election (about 5 s). What is not written by then is tried again by the bridge, which says so
/// on `/readyz`.
const DELIVERY_TIMEOUT_MS: u32 = 30_000;

/// Largest record that our producer takes, before it is compressed: the client counts the bytes as they are given to it,
/// and a topic's `max.message.bytes` what is left of them. As much as the producer's queue holds, and more than a consumer
/// takes of one record compressed with zstd (100 MB); 1 MB of repetitive JSON may be 10 MB.
const MAX_MESSAGE_BYTES: u32 = QUEUE_KIB * 1024;

/// Memory while the brokers are away, in KiB. Beyond it, sends wait.
const QUEUE_KIB: u32 = 128 * 1024;

/// librdkafka takes no less for `message.max.bytes`.
const LEAST_MESSAGE_MAX_BYTES: u64 = 1000;

/// Partitions that are added to a topic are taken up after this long and a rebalance, and written to: within a minute. One
/// request for each client. The default is five minutes.
const METADATA_REFRESH_MS: u32 = 30_000;

/// Kafka's default, and the most that a member waits between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// Properties that only consumers know. Given to a producer they are no fault, but a warning for each client.
const CONSUMER_ONLY: [&str; 13] = [
    "auto.",
    "check.crcs",
    "enable.auto.",
    "enable.partition.eof",
    "fetch.",
    "group.",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "partition.assignment.strategy",
    "queued.",
    "session.timeout.ms",
];

/// Properties that only producers know.
const PRODUCER_ONLY: [&str; 15] = [
    "acks",
    "batch.",
    "compression.",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.",
    "queuing.strategy",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
];

/// Properties with two names, the one that is used here behind the other.
const ALIASES: [(&str, &str); 6] = [
    ("compression.codec", "compression.type"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("message.send.max.retries", "retries"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("queue.buffering.max.ms", "linger.ms"),
];

/// The consumer of worker number `worker` (from 0) of `workers` in this process.
#[must_use]
pub fn consumer(kafka: &Kafka, worker: usize, workers: usize) -> ClientConfig {
    let member = (workers > 1).then_some(worker);
    let defaults = [
        ("fetch.queue.backoff.ms", FETCH_QUEUE_BACKOFF_MS.to_string()),
        ("queued.max.messages.kbytes", READ_AHEAD_KIB.to_string()),
        ("fetch.max.bytes", fetch_max_bytes(kafka).to_string()),
    ];
    let mut ours = vec![
        ("client.id", client_id(kafka, member)),
        ("group.id", kafka.group_id.clone()),
        ("enable.auto.commit", "true".into()),
        ("enable.auto.offset.store", "false".into()),
        ("auto.commit.interval.ms", millis(kafka.auto_commit_interval)),
        // Where to start is decided in the assign callback; nothing may be skipped behind its back.
        ("auto.offset.reset", "error".into()),
        ("enable.partition.eof", "true".into()),
        // A batch that librdkafka checks and finds corrupt it passes over.
        ("check.crcs", "false".into()),
        ("isolation.level", "read_committed".into()),
    ];
    // With `group.protocol=consumer` librdkafka refuses to start when any of the other three is set.
    match kafka.group_protocol {
        GroupProtocol::Consumer => ours.push(("group.protocol", "consumer".into())),
        GroupProtocol::Classic => {
            ours.push(("group.protocol", "classic".into()));
            ours.push(("partition.assignment.strategy", "cooperative-sticky".into()));
            ours.push(("session.timeout.ms", millis(kafka.session_timeout)));
            if kafka.properties.get("heartbeat.interval.ms").is_none() {
                ours.push(("heartbeat.interval.ms", millis(HEARTBEAT.min(kafka.session_timeout / 3))));
            }
        }
    }
    if let (Some(instance), Some(worker)) = (kafka.properties.get("group.instance.id"), member) {
        // Two members with one instance id fence each other off.
        ours.push(("group.instance.id", format!("{instance}-{worker}")));
    }
    layered(kafka, &defaults, &PRODUCER_ONLY, ours)
}

/// The consumer of the retry topics: a group of its own, `<group_id>-retry`, one member for each process.
#[must_use]
pub fn retry_consumer(kafka: &Kafka) -> ClientConfig {
    let mut config = consumer(kafka, 0, 1);
    config.set("group.id", kafka.retry_group_id());
    config.set("client.id", format!("{}-retry", client_id(kafka, None)));
    // A record that handback has compressed must be read again. librdkafka knows no size of it beforehand, tries buffers
    // that are three times as large each time, and gives up beyond this.
    if kafka.properties.get("receive.message.max.bytes").is_none() {
        config.set("receive.message.max.bytes", (3 * MAX_MESSAGE_BYTES).to_string());
    }
    // What is read ahead waits in memory until it is due, for each partition and tier.
    if kafka.properties.get("queued.max.messages.kbytes").is_none() {
        config.set("queued.max.messages.kbytes", RETRY_READ_AHEAD_KIB.to_string());
    }
    config
}

/// A reader of the outcome topic for the ledger: joins no group and commits nothing. librdkafka asks for a group all the
/// same, and the bridge's own needs no further right.
#[must_use]
pub fn reader(kafka: &Kafka, worker: usize) -> ClientConfig {
    let defaults = [
        ("fetch.queue.backoff.ms", FETCH_QUEUE_BACKOFF_MS.to_string()),
        ("queued.max.messages.kbytes", READ_AHEAD_KIB.to_string()),
        ("fetch.max.bytes", fetch_max_bytes(kafka).to_string()),
    ];
    let ours = vec![
        ("client.id", format!("{}-ledger-{worker}", client_id(kafka, None))),
        ("group.id", kafka.group_id.clone()),
        ("enable.auto.commit", "false".into()),
        ("enable.auto.offset.store", "false".into()),
        ("enable.partition.eof", "true".into()),
        // Retention that overtakes the reading takes entries away that were about to be forgotten.
        ("auto.offset.reset", "earliest".into()),
    ];
    let mut config = layered(kafka, &defaults, &PRODUCER_ONLY, ours);
    // It must not fence off the member that has this id.
    config.remove("group.instance.id");
    config
}

/// The producer of outcomes, dead letters and replies: idempotent, acknowledged by all in-sync replicas.
#[must_use]
pub fn producer(kafka: &Kafka) -> ClientConfig {
    let defaults = [
        ("linger.ms", LINGER_MS.to_string()),
        ("delivery.timeout.ms", DELIVERY_TIMEOUT_MS.to_string()),
        ("message.max.bytes", MAX_MESSAGE_BYTES.to_string()),
    ];
    let ours =
        vec![("client.id", client_id(kafka, None)), ("acks", "all".into()), ("enable.idempotence", "true".into())];
    let mut config = layered(kafka, &defaults, &CONSUMER_ONLY, ours);
    fit_into_queue(&mut config);
    config
}

/// Bounds the queue where the settings do not, and the records by the queue: one that is larger would wait for room in it
/// for ever.
pub(super) fn fit_into_queue(config: &mut ClientConfig) {
    const QUEUE: &str = "queue.buffering.max.kbytes";
    if config.get(QUEUE).is_none() {
        config.set(QUEUE, QUEUE_KIB.to_string());
    }
    let number = |name: &str| config.get(name).and_then(|text| text.parse::<u64>().ok());
    if let (Some(queue), Some(largest)) = (number(QUEUE), number("message.max.bytes"))
        && queue.saturating_mul(1024) < largest
    {
        config.set("message.max.bytes", (queue * 1024).max(LEAST_MESSAGE_MAX_BYTES).to_string());
    }
}

/// A client for look-ups and administration: joins no group, writes nothing.
#[must_use]
pub fn admin(kafka: &Kafka) -> ClientConfig {
    let no_reading_or_writing = [CONSUMER_ONLY.as_slice(), PRODUCER_ONLY.as_slice()].concat();
    layered(kafka, &[], &no_reading_or_writing, vec![("client.id", client_id(kafka, None))])
}

/// Keeps OpenSSL from taking itself apart at exit. To be called before there is any client: OpenSSL's handler frees what
/// librdkafka's threads may still use, for instance in an authentication that a signal finds under way, and the process
/// would abort on a torn heap instead of ending with its exit code.
pub fn let_threads_outlive_main() {
    #[cfg(any(feature = "tls-vendored", feature = "tls-system"))]
    openssl_sys::init();
}

/// The properties of `[kafka.properties]` that librdkafka does not take, with its reason. Connects to nobody.
#[must_use]
pub fn property_faults(kafka: &Kafka) -> Vec<(String, String)> {
    let refused = |(name, value): (&str, &str)| {
        let error = ClientConfig::new().set(name, value).create_native_config().err()?;
        let message = match error {
            // The description of a wrong value repeats it; the error as a whole repeats it always.
            _ if Properties::is_secret(name) => "is not taken by librdkafka".into(),
            KafkaError::ClientConfig(_, description, _, _) => description,
            other => other.to_string(),
        };
        Some((format!("kafka.properties.{name}"), message))
    };
    kafka.properties.iter().filter_map(refused).collect()
}

/// librdkafka refuses to start when this is less than a `message.max.bytes` that the user has set.
fn fetch_max_bytes(kafka: &Kafka) -> u32 {
    let message = kafka.properties.get("message.max.bytes").and_then(|text| text.parse().ok());
    FETCH_MAX_BYTES.max(message.unwrap_or_default())
}

/// The one place where the layers meet. `foreign` are the properties of the other kind of client.
fn layered(kafka: &Kafka, defaults: &[(&str, String)], foreign: &[&str], ours: Vec<(&str, String)>) -> ClientConfig {
    // For those who use the library; the program has done so before.
    let_threads_outlive_main();
    let mut config = ClientConfig::new();
    // A connection that a firewall has dropped is noticed before it is needed.
    config.set("socket.keepalive.enable", "true");
    config.set("topic.metadata.refresh.interval.ms", METADATA_REFRESH_MS.to_string());
    for (name, value) in defaults {
        config.set(*name, value);
    }
    for (name, value) in kafka.properties.iter().map(|(name, value)| (one_name(name), value)) {
        if !foreign.iter().any(|prefix| name.starts_with(prefix)) {
            config.set(name, value);
        }
    }
    config.set("bootstrap.servers", &kafka.brokers);
    // A topic that does not exist is a fault to be seen: a misspelt one would be made with the brokers' defaults.
    config.set("allow.auto.create.topics", "false");
    for (name, value) in ours {
        config.set(name, value);
    }
    config
}

/// The name by which handback speaks of a property: librdkafka knows some by two, and of both it takes either.
fn one_name(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

/// The name of this process, as the brokers know it and as the engine shows who polls.
#[must_use]
pub fn process_name(kafka: &Kafka) -> String {
    client_id(kafka, None)
}

/// Unique for each consumer of each process, unless the settings say otherwise: members that share an id and differ in
/// subscription send librdkafka's assignor into an endless loop.
fn client_id(kafka: &Kafka, member: Option<usize>) -> String {
    let process = match kafka.client_id.as_str() {
        "" => format!("handback-{}-{}", hostname(), std::process::id()),
        given => given.to_owned(),
    };
    member.map_or(process.clone(), |number| format!("{process}-{number}"))
}

/// The host's name as far as it can be learnt without a system call of our own.
fn hostname() -> String {
    let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = kernel().or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = name.trim().chars().filter(legal).collect();
    if name.is_empty() { "host".into() } else { name }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
