//! One record, written and awaited, with the place it got.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use tokio::time::Instant;

use super::client;
use super::cluster::{Listener, Unreachable, explained};
use super::copies;
use crate::config::Kafka;
use crate::wire::OutRecord;

/// How long to listen for errors between two tries of the metadata.
const ONE_TRY: Duration = Duration::from_secs(1);

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// Writes `record` to a topic that exists and awaits that all in-sync replicas have it. Creates no topic: a misspelt
/// name is a fault, whatever the brokers' settings.
///
/// # Errors
/// When no broker answers, the topic does not exist, or the brokers refuse the record.
pub async fn send(kafka: &Kafka, record: OutRecord) -> Result<Place, Unreachable> {
    let listener = Listener::default();
    let producer: FutureProducer<Listener> =
        client::producer(kafka).create_with_context(listener.clone()).map_err(|error| explained(None, &error))?;
    let (waiting, deadline) = (producer.clone(), Instant::now() + kafka.metadata_timeout);
    let topics = tokio::task::spawn_blocking(move || topics(&waiting, &listener, deadline))
        .await
        .map_err(|error| Unreachable { what: error.to_string(), advice: "report this" })??;
    if !topics.iter().any(|topic| **topic == *record.topic) {
        return Err(Unreachable {
            what: format!("topic {} does not exist, or this user may not see it", record.topic),
            advice: "correct the name, create it with `handback topics create`, or grant DESCRIBE and WRITE on it",
        });
    }
    let out: FutureRecord<'_, [u8], [u8]> = FutureRecord {
        topic: &record.topic,
        partition: record.partition,
        payload: record.value.as_deref(),
        key: record.key.as_deref(),
        timestamp: None,
        headers: copies::headers(&record.headers),
    };
    let delivered = producer.send(out, kafka.metadata_timeout).await;
    let delivery = delivered.map_err(|(error, _)| refused(&error))?;
    Ok(Place { partition: delivery.partition, offset: delivery.offset })
}

fn refused(error: &KafkaError) -> Unreachable {
    let refused = explained(None, error);
    match error.rdkafka_error_code() {
        // An idempotent producer asks for its id first.
        Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            Unreachable { advice: "grant WRITE on the topic to this user", ..refused }
        }
        Some(Code::MessageSizeTooLarge) => {
            Unreachable { advice: "make the record smaller, or raise max.message.bytes of its topic", ..refused }
        }
        _ => refused,
    }
}

/// The names of all topics. All, because asking for one can create it.
fn topics(
    producer: &FutureProducer<Listener>,
    listener: &Listener,
    deadline: Instant,
) -> Result<Vec<String>, Unreachable> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let error = match producer.client().fetch_metadata(None, ONE_TRY.min(left)) {
            Ok(metadata) => return Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()),
            Err(error) => error,
        };
        // The producer's own thread polls, so what went wrong has been heard by now.
        if listener.is_certain() || Instant::now() >= deadline {
            return Err(explained(listener.telling(), &error));
        }
    }
}
