//! Kafka clients as any service has them: nothing here is the bridge's.

use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::kafka::{self, copies};
use crate::wire::{OutRecord, Record};

/// Longest that a record may take to the broker next door.
const SEND: Duration = Duration::from_secs(10);

/// How long the mock cluster lets an empty fetch wait. New records do not end the wait there, as they do on a broker.
pub(super) const FETCH_WAIT_MS: &str = "20";

/// The context of these clients: what goes wrong on the way is the business of the bridge's own clients.
#[derive(Clone)]
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(target: "librdkafka", client = "dev", facility, "{line}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", client = "dev", %error, reason);
    }
}

impl ConsumerContext for Quiet {}

/// A consumer of the dev stack.
pub(super) type Reader = StreamConsumer<Quiet>;

/// A producer of the dev stack.
pub(super) type Writer = FutureProducer<Quiet>;

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// A producer that sends at once.
pub(super) fn producer(brokers: &str) -> Result<Writer, KafkaError> {
    // As the Java client does it, so that one key means one partition whoever writes.
    config(brokers).set("linger.ms", "0").set("partitioner", "murmur2_random").create_with_context(Quiet)
}

/// A member of a consumer group, reading from the beginning.
pub(super) fn member(brokers: &str, group: &str, topic: &str) -> Result<Reader, KafkaError> {
    let consumer: Reader = config(brokers)
        .set("group.id", group)
        // The mock cluster lets the first member of a classic group wait for three seconds.
        .set("group.protocol", "consumer")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", FETCH_WAIT_MS)
        .create_with_context(Quiet)?;
    consumer.subscribe(&[topic])?;
    Ok(consumer)
}

/// A reader of whole topics, in no group: sees every record there is and changes nothing.
pub(super) fn reader(brokers: &str, topics: &[(String, i32)]) -> Result<Reader, KafkaError> {
    // librdkafka wants a group id of every consumer; nothing is ever committed under it.
    let consumer: Reader = config(brokers)
        .set("group.id", "handback-dev-observer")
        .set("enable.auto.commit", "false")
        // Tells when a partition has been read to its end.
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", FETCH_WAIT_MS)
        .create_with_context(Quiet)?;
    let mut everything = TopicPartitionList::new();
    for (topic, partitions) in topics {
        for partition in 0..*partitions {
            everything.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&everything)?;
    Ok(consumer)
}

/// Writes a record and waits until the broker has it. Returns its partition and offset.
pub(super) async fn send(producer: &Writer, record: &OutRecord) -> Result<(i32, i64), KafkaError> {
    let mut out = FutureRecord::<[u8], [u8]>::to(&record.topic);
    out.headers = copies::headers(&record.headers);
    out.partition = record.partition;
    out.key = record.key.as_deref();
    out.payload = record.value.as_deref();
    let delivery = producer.send(out, SEND).await.map_err(|(error, _)| error)?;
    Ok((delivery.partition, delivery.offset))
}

/// A client for look-ups about a group, which it does not join.
pub(super) fn looker(brokers: &str, group: &str) -> Result<BaseConsumer<Quiet>, KafkaError> {
    config(brokers).set("group.id", group).create_with_context(Quiet)
}

/// The cluster's id; empty when no broker tells it. Blocks.
pub(super) fn cluster_id(brokers: &str) -> String {
    let client = looker(brokers, "handback-dev-observer");
    client.ok().and_then(|client| kafka::cluster_id(client.client(), SEND)).unwrap_or_default()
}

/// A copy of a received record.
pub(super) fn record(message: &BorrowedMessage<'_>) -> Record {
    copies::received(message)
}
