//! Partitions that cannot be read although they are ours: a condition of each until a record or its end arrives.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::native::{Place, Trouble};
use super::positions;
use super::rebalance::Context;
use crate::bridge::seams::PartitionId;

/// How often a partition in trouble is assigned anew at its position. librdkafka says once that reading is forbidden and once
/// that the end is reached; only a new start makes it say again how the partition is. Reading has stopped anyway, and a start
/// costs one request.
const START_ANEW: Duration = Duration::from_secs(5);

/// The partitions in trouble, with when each is to be started anew.
#[derive(Debug, Default)]
pub(super) struct Fetching(FxHashMap<PartitionId, Instant>);

impl Fetching {
    /// A partition could not be read.
    pub(super) fn trouble(&mut self, id: PartitionId, now: Instant) {
        self.0.entry(id).or_insert(now + START_ANEW);
    }

    /// A record or the end of the partition has come, or the partition has left. Answers whether it was in trouble.
    pub(super) fn well(&mut self, id: PartitionId) -> bool {
        !self.0.is_empty() && self.0.remove(&id).is_some()
    }

    /// Those that are to be started anew now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<PartitionId> {
        let due = self.0.iter_mut().filter(|(_, at)| **at <= now);
        due.map(|(id, at)| {
            *at = now + START_ANEW;
            *id
        })
        .collect()
    }
}

impl Context {
    /// Raises what keeps a partition from being read. Answers false when that is no partition of ours.
    pub(super) fn cannot_read(&self, place: &Place, trouble: &Trouble) -> bool {
        let Some(id) = self.partitions().id(&place.topic, place.partition) else { return false };
        if !self.partitions().is_read(id) {
            return false;
        }
        self.partitions().fetching.trouble(id, Instant::now());
        self.conditions.raise(&condition(&place.topic, place.partition), reason(place, trouble));
        true
    }

    /// Reading has come to the end of a partition.
    pub(super) fn ended(&self, place: &Place) {
        let Some(id) = self.partitions().id(&place.topic, place.partition) else { return };
        if self.partitions().fetching.well(id) {
            self.is_read_again(id);
        }
    }

    /// A record or the end of a partition has come that was in trouble.
    pub(super) fn is_read_again(&self, id: PartitionId) {
        let (topic, partition) = self.partitions().named(id);
        self.conditions.clear(&condition(&topic, partition));
    }

    /// Starts partitions in trouble anew where they stand. Asks nobody: a broker in trouble would hold up all others.
    pub(super) fn start_anew(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        let due = self.partitions().fetching.due(Instant::now());
        let reading = self.partitions().reading();
        let these: Vec<_> = reading.into_iter().filter(|(id, _)| due.contains(id)).collect();
        if these.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = these.iter().map(|(id, _)| self.partitions().named(*id)).collect();
        let mut list = positions::list(&named, Offset::Invalid)?;
        consumer.incremental_unassign(&list)?;
        for ((topic, partition), (_, position)) in named.iter().zip(&these) {
            // Without a position librdkafka asks for the committed offset, or says AutoOffsetReset and all are looked at.
            list.set_partition_offset(topic, *partition, position.map_or(Offset::Invalid, Offset::Offset))?;
        }
        consumer.incremental_assign(&list)
    }
}

/// Name of the condition of a partition that cannot be read.
pub(super) fn condition(topic: &str, partition: i32) -> String {
    format!("fetch/{topic}/{partition}")
}

/// What keeps a partition from being read, and what to do about it.
pub(super) fn reason(place: &Place, trouble: &Trouble) -> String {
    let Place { topic, partition, offset } = place;
    let place = if *offset < 0 { format!("{topic}/{partition}") } else { format!("{topic}/{partition}/{offset}") };
    let Trouble { code, text, .. } = trouble;
    format!("{place} cannot be read: {}. Replies behind it wait ({text})", remedy(*code, topic))
}

fn remedy(code: Code, topic: &str) -> String {
    match code {
        Code::TopicAuthorizationFailed => format!("grant READ on {topic} to our user; DESCRIBE alone is not enough"),
        Code::GroupAuthorizationFailed => "grant READ on the consumer group to our user".to_owned(),
        Code::InvalidMessage | Code::BadMessage | Code::BadCompression => format!(
            "what is stored there is corrupt, or larger than a client takes. Restore it from a replica, or accept the loss: stop \
             all members and set the group's offset for {topic} behind it"
        ),
        Code::NotImplemented | Code::UnsupportedCompressionType => format!(
            "it is written in a form that this build does not read. Stop all members and set the group's offset for {topic} behind \
             it, or run a build that reads it"
        ),
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => {
            "raise fetch.max.bytes and receive.message.max.bytes in [kafka.properties]".to_owned()
        }
        _ => "it is tried again; the brokers' log says more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId { topic: 0, partition: 3 };

    #[test]
    fn a_partition_in_trouble_is_started_anew_at_times_until_it_is_well() {
        let (mut fetching, now) = (Fetching::default(), Instant::now());
        fetching.trouble(P, now);
        fetching.trouble(P, now + START_ANEW / 2);
        assert_eq!(fetching.due(now + START_ANEW / 2), []);
        assert_eq!(fetching.due(now + START_ANEW), [P]);
        assert_eq!(fetching.due(now + START_ANEW), [], "once");
        assert_eq!(fetching.due(now + 2 * START_ANEW), [P]);
        assert!(fetching.well(P) && !fetching.well(P));
        assert_eq!(fetching.due(now + 3 * START_ANEW), []);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_place_and_a_remedy() {
        let place = Place { topic: "replies".to_owned(), partition: 3, offset: 17 };
        for (code, words) in [
            (Code::TopicAuthorizationFailed, "grant READ on replies"),
            (Code::InvalidMessage, "corrupt"),
            (Code::BadCompression, "set the group's offset for replies"),
            (Code::MessageSizeTooLarge, "receive.message.max.bytes"),
            (Code::Unknown, "brokers' log"),
        ] {
            let trouble =
                Trouble { code, fatal: false, text: "said librdkafka".to_owned(), place: Some(place.clone()) };
            let reason = reason(&place, &trouble);
            for part in ["replies/3/17", words, "said librdkafka"] {
                assert!(reason.contains(part), "{part} in {reason}");
            }
        }
    }
}
