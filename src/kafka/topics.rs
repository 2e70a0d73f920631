//! Looking at and creating topics through Kafka's admin requests.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::client;
use super::cluster::{Listener, Unreachable, explained};
use crate::config::Kafka;

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Replicas of each partition.
    pub replication_factor: i32,
    /// Topic settings by Kafka's names.
    pub settings: BTreeMap<&'static str, String>,
}

/// What became of a topic that was to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It is there now, or could be.
    Created,
    /// Somebody else has created it meanwhile; it was left alone.
    Existed,
    /// The brokers refuse it.
    Refused(Unreachable),
}

/// Why an admin request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The brokers do not know the request, as librdkafka's mock cluster does not.
    #[error("the broker does not support this request")]
    Unsupported,
    /// The request failed.
    #[error(transparent)]
    Failed(#[from] Unreachable),
}

/// Settings of a topic by Kafka's names, the defaults of the brokers included.
pub type TopicSettings = BTreeMap<String, String>;

/// What a client sees of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is there.
    There,
    /// It is not, or our user may not know.
    Missing,
    /// Our user may not look at it.
    Forbidden,
    /// No broker told.
    Unknown,
}

/// Asks for a topic. Creates none, whatever the brokers' settings: `allow.auto.create.topics` is off. Blocks.
pub(super) fn seen<C: ClientContext>(client: &Client<C>, name: &str, within: Duration) -> Seen {
    let Ok(metadata) = client.fetch_metadata(Some(name), within) else { return Seen::Unknown };
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Seen::Missing };
    match topic.error().map(Code::from) {
        None => Seen::There,
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic) => Seen::Missing,
        Some(Code::TopicAuthorizationFailed) => Seen::Forbidden,
        // Its leader is being elected, for one.
        Some(_) => Seen::Unknown,
    }
}

/// A client for admin requests.
pub struct Admin {
    client: AdminClient<Listener>,
    broker: Option<i32>,
    timeout: Duration,
}

impl Admin {
    /// Prepares for requests that take up to `kafka.metadata_timeout` each. Questions that every broker can answer go
    /// to `broker`, if one is known: librdkafka would wait for the controller, and some stand-ins for Kafka name one
    /// that does not exist.
    ///
    /// # Errors
    /// When librdkafka refuses the properties.
    pub fn new(kafka: &Kafka, broker: Option<i32>) -> Result<Self, Unreachable> {
        let client =
            client::admin(kafka).create_with_context(Listener::default()).map_err(|error| explained(None, &error))?;
        Ok(Self { client, broker, timeout: kafka.metadata_timeout })
    }

    /// The settings of those of `topics` that exist and that this user may look into. (What the brokers say about the
    /// others does not come through: the client library drops it.)
    ///
    /// # Errors
    /// When the request as a whole has no answer.
    pub async fn settings(&self, topics: &[&str]) -> Result<BTreeMap<String, TopicSettings>, AdminError> {
        let asked: Vec<_> = topics.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let options = AdminOptions::new().request_timeout(Some(self.timeout)).broker_id(self.broker);
        let answers = self.client.describe_configs(&asked, &options).await.map_err(|error| failed(&error))?;
        let told = answers.into_iter().flatten().filter(|resource| !resource.entries.is_empty());
        let named = told.filter_map(|resource| match resource.specifier {
            OwnedResourceSpecifier::Topic(name) => {
                let entries = resource.entries.into_iter();
                Some((name, entries.filter_map(|entry| Some((entry.name, entry.value?))).collect()))
            }
            _ => None,
        });
        Ok(named.collect())
    }

    /// The settings of a broker, by Kafka's names; `None` when this user may not look into them, or these brokers do not tell.
    pub async fn broker_settings(&self, broker: i32) -> Option<BTreeMap<String, String>> {
        let options = AdminOptions::new().request_timeout(Some(self.timeout)).broker_id(Some(broker));
        let answers = self.client.describe_configs(&[ResourceSpecifier::Broker(broker)], &options).await.ok()?;
        let entries = answers.into_iter().flatten().flat_map(|resource| resource.entries);
        let told: BTreeMap<_, _> = entries.filter_map(|entry| Some((entry.name, entry.value?))).collect();
        (!told.is_empty()).then_some(told)
    }

    /// Creates `topics`, or with `validate_only` asks the brokers whether they would.
    ///
    /// # Errors
    /// When the request as a whole has no answer.
    pub async fn create(
        &self,
        topics: &[TopicSpec],
        validate_only: bool,
    ) -> Result<Vec<(String, Creation)>, AdminError> {
        let new: Vec<_> = topics.iter().map(new_topic).collect();
        let options = AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout))
            .validate_only(validate_only);
        let answers = self.client.create_topics(&new, &options).await.map_err(|error| failed(&error))?;
        let told = answers.into_iter().map(|answer| match answer {
            Ok(name) => (name, Creation::Created),
            Err((name, Code::TopicAlreadyExists)) => (name, Creation::Existed),
            Err((name, code)) => (name, Creation::Refused(explained(None, &KafkaError::AdminOp(code)))),
        });
        Ok(told.collect())
    }
}

fn new_topic(spec: &TopicSpec) -> NewTopic<'_> {
    let new = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(spec.replication_factor));
    spec.settings.iter().fold(new, |new, (name, value)| new.set(name, value))
}

fn failed(error: &KafkaError) -> AdminError {
    match error {
        KafkaError::AdminOp(Code::UnsupportedFeature) => AdminError::Unsupported,
        error => AdminError::Failed(explained(None, error)),
    }
}
