//! A look at the cluster from outside: who answers, which topics there are, whether the group may be used.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::time::Instant;

use super::{client, native};
use crate::config::Kafka;

/// One try for metadata; between two tries the error events are read, which say more than the timeout does.
const ONE_TRY: Duration = Duration::from_secs(1);

/// How long error events may take to arrive after a failed try.
const EVENTS: Duration = Duration::from_millis(100);

/// What the cluster is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The cluster's id, when the brokers tell it.
    pub cluster_id: Option<String>,
    /// Ids of the brokers.
    pub brokers: Vec<i32>,
    /// Every topic that the user may see, by name.
    pub topics: BTreeMap<String, Topic>,
}

/// A topic as the metadata shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// Number of partitions.
    pub partitions: usize,
    /// Replicas of the partition that has fewest.
    pub replication_factor: usize,
    /// Partitions without a leader: they can neither be read nor written now.
    pub leaderless: usize,
    /// Partitions with fewer replicas in sync than there are.
    pub under_replicated: usize,
}

/// Why a cluster could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {advice}")]
pub struct Unreachable {
    /// What went wrong, in librdkafka's words.
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
}

/// A client that only looks. Its methods block; the client itself connects in the background.
pub struct Cluster {
    consumer: BaseConsumer<Listener>,
}

impl Cluster {
    /// Prepares to look at the cluster with the credentials, and the group if there is one, of `kafka`.
    ///
    /// # Errors
    /// When librdkafka refuses the properties.
    pub fn new(kafka: &Kafka) -> Result<Self, Unreachable> {
        let config = if kafka.group_id.is_empty() { client::admin(kafka) } else { client::consumer(kafka, 0, 1) };
        let consumer = config.create_with_context(Listener::default()).map_err(|error| Unreachable {
            what: error.to_string(),
            advice: "correct the property in [kafka.properties]",
        })?;
        Ok(Self { consumer })
    }

    pub(super) fn consumer(&self) -> &BaseConsumer<Listener> {
        &self.consumer
    }

    /// Brokers and topics. Creates no topic, whatever the brokers' settings.
    ///
    /// # Errors
    /// When nobody answers within `timeout`, or as soon as it is certain that nobody will.
    pub fn overview(&self, timeout: Duration) -> Result<Overview, Unreachable> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match self.consumer.fetch_metadata(None, ONE_TRY.min(left)) {
                Ok(metadata) => {
                    let topics = metadata.topics().iter().map(|t| (t.name().to_owned(), Topic::of(t.partitions())));
                    return Ok(Overview {
                        cluster_id: self.consumer.client().fetch_cluster_id(ONE_TRY).filter(|id| !id.is_empty()),
                        brokers: metadata.brokers().iter().map(|broker| broker.id()).collect(),
                        topics: topics.collect(),
                    });
                }
                Err(error) => error,
            };
            let heard = self.heard();
            if heard.as_ref().is_some_and(|(code, _)| is_certain(*code)) || Instant::now() >= deadline {
                return Err(explained(heard, &error));
            }
        }
    }

    /// Whether the client's group may be used: asks its coordinator for the committed offsets of `topic`.
    ///
    /// # Errors
    /// The group is forbidden, or its coordinator does not answer within `timeout`.
    pub fn group_access(&self, topic: &str, partitions: usize, timeout: Duration) -> Result<Committed, Unreachable> {
        let mut asked = TopicPartitionList::new();
        for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
            asked.add_partition(topic, partition);
        }
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match self.consumer.committed_offsets(asked.clone(), ONE_TRY.min(left)) {
                Ok(found) => {
                    let elements = found.elements();
                    let committed = elements.iter().filter(|e| matches!(e.offset(), Offset::Offset(_))).count();
                    return Ok(Committed { partitions: committed });
                }
                Err(error) => error,
            };
            // A forbidden group is told as an event; the request itself only times out.
            let heard = self.heard();
            if heard.as_ref().is_some_and(|(code, _)| is_certain(*code)) || Instant::now() >= deadline {
                return Err(explained(heard, &error));
            }
        }
    }

    /// What the client's group is like; `None` when it is not there, and when these brokers do not tell.
    #[must_use]
    pub fn group(&self, group: &str, timeout: Duration) -> Option<Group> {
        native::describe(&self.consumer, group, timeout)
            .inspect_err(|code| tracing::debug!(?code, group, "the group cannot be described"))
            .ok()
            .flatten()
    }

    /// The error that says most of those the client has reported so far.
    fn heard(&self) -> Option<(Code, String)> {
        let until = Instant::now() + EVENTS;
        while Instant::now() < until {
            // Errors reach the context; what a consumer without subscription polls is nothing.
            drop(self.consumer.poll(Duration::from_millis(10)));
        }
        self.consumer.context().telling()
    }
}

/// What the group has committed so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Partitions with a committed offset.
    pub partitions: usize,
}

/// How the members of a group agree on who reads what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Among themselves.
    Classic,
    /// The broker assigns (KIP-848).
    Consumer,
    /// Brokers before Kafka 4 do not tell.
    Unknown,
}

/// A group as its coordinator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How its members agree.
    pub protocol: Protocol,
    /// Who gets what; empty while nobody is in it.
    pub assignor: String,
    /// How many are in it now.
    pub members: usize,
}

impl Topic {
    fn of(partitions: &[rdkafka::metadata::MetadataPartition]) -> Self {
        Self {
            partitions: partitions.len(),
            replication_factor: partitions.iter().map(|p| p.replicas().len()).min().unwrap_or(0),
            leaderless: partitions.iter().filter(|p| p.leader() < 0).count(),
            under_replicated: partitions.iter().filter(|p| p.isr().len() < p.replicas().len()).count(),
        }
    }
}

/// Hears what librdkafka reports to no caller: wrong credentials above all.
#[derive(Clone, Default)]
pub(super) struct Listener {
    errors: Arc<Mutex<Vec<(Code, String)>>>,
}

impl Listener {
    /// The error that says most of those reported so far.
    pub(super) fn telling(&self) -> Option<(Code, String)> {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let certain = errors.iter().find(|(code, _)| is_certain(*code));
        // That all brokers are down follows from what was reported about each of them.
        let cause = || errors.iter().find(|(code, _)| *code != Code::AllBrokersDown);
        certain.or_else(cause).or(errors.last()).cloned()
    }

    /// Whether an error was reported that no waiting will cure.
    pub(super) fn is_certain(&self) -> bool {
        self.telling().is_some_and(|(code, _)| is_certain(code))
    }
}

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.errors.lock().unwrap_or_else(PoisonError::into_inner).push((code, reason.to_owned()));
        }
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        // What matters comes as an error too, and is told with its advice.
        tracing::debug!(target: "librdkafka", facility, "{line}");
    }
}

impl ConsumerContext for Listener {}

/// Whether more waiting cannot help.
fn is_certain(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::SSL
            | Code::GroupAuthorizationFailed
    )
}

pub(super) fn explained(heard: Option<(Code, String)>, error: &KafkaError) -> Unreachable {
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    };
    let (code, what) = match heard {
        Some((code, reason)) => (Some(code), reason),
        None => (code, code.map_or_else(|| error.to_string(), |code| code.to_string())),
    };
    Unreachable { what, advice: code.map_or("the brokers' log says more", advice) }
}

fn advice(code: Code) -> &'static str {
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            "correct sasl.mechanism, sasl.username and sasl.password in [kafka.properties]"
        }
        Code::SSL => "correct security.protocol and ssl.ca.location in [kafka.properties]",
        Code::Resolve => "correct the host names in kafka.brokers",
        Code::GroupAuthorizationFailed => "grant READ on the group kafka.group_id to this user",
        Code::TopicAuthorizationFailed => "grant CREATE on the cluster, or on the topic, to this user",
        Code::ClusterAuthorizationFailed => "grant CREATE on the cluster, or on the topic, to this user",
        Code::InvalidReplicationFactor => "ask for no more replicas than there are brokers",
        Code::PolicyViolation => "a policy of the brokers forbids it; ask their operators",
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::TimedOutQueue
        | Code::MessageTimedOut => {
            "check that kafka.brokers is right and reachable from here, and that security.protocol in \
             [kafka.properties] is what the listener speaks"
        }
        _ => "the brokers' log says more",
    }
}
