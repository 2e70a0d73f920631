//! What each topic of the contract should be like.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Settings, Topics};
use crate::kafka::cluster::Topic;
use crate::kafka::topics::{TopicSettings, TopicSpec};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// "Longer than the longest outage": a week covers an incident that begins on a Friday and its aftermath.
const OUTAGE: Duration = DAY.saturating_mul(7);

/// How long what became of a reply can be asked for, and what the ledger is read from.
const OUTCOMES: Duration = DAY.saturating_mul(7);

/// Dead letters wait for people.
const DEAD_LETTERS: Duration = DAY.saturating_mul(14);

/// What handback adds to a record that it moves: headers, at most. Outcome, retry and dead-letter topics take records
/// larger than the reply topics' by this much.
pub(crate) const MOVED_RECORD_EXTRA: u64 = 64 * 1024;

/// Header of a batch (61 bytes), and the lengths and counts of one record.
const RECORD_OVERHEAD: u64 = 1024;

/// What Kafka's topics take unless told otherwise.
pub(crate) const KAFKA_MAX_MESSAGE_BYTES: u64 = 1_048_588;

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Requests,
    Replies,
    Outcomes,
    DeadLetters,
    Retry,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Replies => "replies",
            Self::Outcomes => "outcomes",
            Self::DeadLetters => "dead letters",
            Self::Retry => "retry",
        }
    }

    /// Whether handback writes it, so that it must take every record of every reply topic under the same partition
    /// number.
    pub(crate) fn follows_replies(self) -> bool {
        matches!(self, Self::Outcomes | Self::DeadLetters | Self::Retry)
    }
}

/// Every topic with what it is for, in the order of the contract.
pub(crate) fn roles(settings: &Settings) -> Vec<(Role, &str)> {
    let topics = &settings.topics;
    let mut roles = vec![(Role::Requests, topics.requests.as_str())];
    for route in &settings.dispatch.routes {
        let name = route.topic.as_str();
        if !name.is_empty() && !roles.iter().any(|(_, known)| *known == name) {
            roles.push((Role::Requests, name));
        }
    }
    roles.extend(topics.replies.iter().map(|name| (Role::Replies, name.as_str())));
    roles.push((Role::Outcomes, &topics.outcomes));
    roles.extend(topics.retry.iter().map(|name| (Role::Retry, name.as_str())));
    roles.push((Role::DeadLetters, &topics.dead_letters));
    roles
}

/// What the reply topics that exist ask of the topics that follow them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replies {
    /// Partitions of the largest.
    pub(crate) partitions: usize,
    /// Largest record that any of them takes, in bytes; `None` when that could not be learnt.
    pub(crate) max_message_bytes: Option<u64>,
    /// Whether records of any stand there as their producers compressed them, as far as that could be learnt.
    pub(crate) compressed: bool,
}

/// Whether the brokers keep what stands on the topic uncompressed, whatever its producers do.
pub(crate) fn is_uncompressed(settings: &TopicSettings) -> bool {
    settings.get("compression.type").is_some_and(|kind| kind == "uncompressed")
}

/// Sums up the reply topics that exist; `None` when none does.
pub(crate) fn replies(
    settings: &Settings,
    topics: &BTreeMap<String, Topic>,
    topic_settings: &BTreeMap<String, TopicSettings>,
) -> Option<Replies> {
    let existing: Vec<_> = settings.topics.replies.iter().filter(|name| topics.contains_key(*name)).collect();
    let partitions = existing.iter().map(|name| topics[*name].partitions).max()?;
    let limit = |name: &&String| topic_settings.get(*name)?.get("max.message.bytes")?.parse::<u64>().ok();
    let compressed = existing.iter().any(|name| topic_settings.get(*name).is_some_and(|told| !is_uncompressed(told)));
    Some(Replies { partitions, max_message_bytes: existing.iter().filter_map(limit).max(), compressed })
}

/// Every topic as it should be created. `existing` is what the reply topics that exist ask for.
pub(crate) fn specs(
    settings: &Settings,
    partitions: i32,
    replication_factor: i32,
    existing: Option<Replies>,
) -> Vec<TopicSpec> {
    let largest = record_limit(settings.bridge.max_payload_bytes);
    let (mut follow_partitions, mut follow_bytes) = (partitions, largest);
    if let Some(replies) = existing {
        follow_partitions = follow_partitions.max(i32::try_from(replies.partitions).unwrap_or(i32::MAX));
        follow_bytes = follow_bytes.max(replies.max_message_bytes.unwrap_or(KAFKA_MAX_MESSAGE_BYTES));
    }
    let spec = |(role, name): (Role, &str)| {
        let follows = role.follows_replies();
        let bytes = match role {
            _ if follows => follow_bytes + MOVED_RECORD_EXTRA,
            Role::Requests if !settings.dispatch.routes.is_empty() => largest.max(request_limit(settings)),
            _ => largest,
        };
        TopicSpec {
            name: name.to_owned(),
            partitions: if follows { follow_partitions } else { partitions },
            replication_factor,
            settings: BTreeMap::from([
                ("cleanup.policy", "delete".to_owned()),
                ("max.message.bytes", bytes.to_string()),
                // One replica may be away without stopping the writes, and none is the last to know.
                ("min.insync.replicas", (replication_factor - 1).clamp(1, 2).to_string()),
                ("retention.ms", retention(role, name).as_millis().to_string()),
            ]),
        }
    };
    roles(settings).into_iter().map(spec).collect()
}

/// How long records of this topic should stay; a retry tier's wait comes on top.
pub(crate) fn retention(role: Role, name: &str) -> Duration {
    match role {
        Role::Requests | Role::Replies => OUTAGE,
        Role::Retry => OUTAGE + Topics::delay_of(name).unwrap_or_default(),
        Role::Outcomes => OUTCOMES,
        Role::DeadLetters => DEAD_LETTERS,
    }
}

/// What a topic must take so that the largest request that is dispatched fits, with what Kafka puts around it.
pub(crate) fn request_limit(settings: &Settings) -> u64 {
    u64::try_from(settings.dispatch.max_request_bytes).unwrap_or(u64::MAX / 2) + RECORD_OVERHEAD
}

/// A record that carries the largest payload: base64 in an envelope, beside token, metadata and headers.
fn record_limit(max_payload_bytes: usize) -> u64 {
    let payload = u64::try_from(max_payload_bytes).unwrap_or(u64::MAX / 4);
    payload.div_ceil(3) * 4 + MOVED_RECORD_EXTRA
}
