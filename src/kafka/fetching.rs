//! Partitions that cannot be read although they are ours: a condition of each until a record or its end arrives.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::native::{Place, Trouble};
use super::notes::Note;
use super::partitions::Partitions;
use super::positions;
use super::rebalance::Context;
use super::starting;
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

impl Partitions {
    /// Those that are to be started anew now, and where. What put them into trouble may have put another log in place of the
    /// one that was read, so that none of them is believed to be the same before it has shown it.
    fn start_anew(&mut self, now: Instant) -> Vec<(PartitionId, Offset, starting::Place)> {
        let mut due = self.fetching.due(now);
        due.retain(|id| self.is_read(*id));
        let anew = |id| {
            let position = self.position(id);
            let note = position.map_or_else(Note::default, |position| self.note(id, position));
            let place = starting::Place { position, note, ..starting::Place::default() };
            self.restart(id, place);
            // Whose start is not decided is not read: without a position, reading began at the beginning.
            (id, position.map_or(Offset::Beginning, Offset::Offset), place)
        };
        due.into_iter().map(anew).collect()
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
        let these = self.partitions().start_anew(Instant::now());
        if these.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = these.iter().map(|(id, ..)| self.partitions().named(*id)).collect();
        let mut list = positions::unassign(consumer, &named)?;
        for (id, offset, place) in these {
            self.list_start(&mut list, id, offset, place)?;
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
        // librdkafka gives up on a zstd batch that grows beyond receive.message.max.bytes, and calls it corrupt.
        Code::BadCompression => format!(
            "its batch cannot be decompressed. It may be too large: raise receive.message.max.bytes in [kafka.properties], which \
             bounds a decompressed zstd batch (100000000 by default, 2147483647 at most; that much memory is needed), and restart. \
             Otherwise it is corrupt: restore it from a replica, or, last of all, accept the loss: stop all members and set the \
             group's offset for {topic} behind it"
        ),
        Code::InvalidMessage | Code::BadMessage => format!(
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

    /// One partition in trouble, which began there.
    fn in_trouble(place: starting::Place, now: Instant) -> Partitions {
        let mut partitions = Partitions::new(["replies".into()].into());
        partitions.assign(P, place);
        partitions.fetching.trouble(P, now);
        partitions
    }

    #[test]
    fn a_log_that_lost_records_while_it_could_not_be_read_is_found_out_when_it_is_started_anew() {
        let now = Instant::now();
        let ten = starting::Place { position: Some(10), committed: Some(10), ..starting::Place::default() };
        let mut partitions = in_trouble(ten, now);
        partitions.read(P, 10, Some(1));
        let [(_, offset, place)] = partitions.start_anew(now + START_ANEW)[..] else { panic!("it is due") };
        assert_eq!((offset, place.note.leader_epoch), (Offset::Offset(11), Some(1)), "librdkafka asks the leader");
        assert_eq!(partitions.read(P, 11, Some(2)), None, "nor is a record of a later leader believed");
        assert_eq!(partitions.doubted(), [(P, 11, 1)]);
    }

    #[test]
    fn a_partition_of_which_nothing_was_read_is_started_anew_at_its_beginning() {
        let now = Instant::now();
        let mut partitions = in_trouble(starting::Place::default(), now);
        let [(_, offset, _)] = partitions.start_anew(now + START_ANEW)[..] else { panic!("it is due") };
        assert_eq!(offset, Offset::Beginning, "and the positions of all others are left alone");
        partitions.halt(P, false);
        assert!(partitions.start_anew(now + 2 * START_ANEW).is_empty(), "what is halted is not read");
    }

    #[test]
    fn a_batch_that_cannot_be_decompressed_asks_for_room_before_it_asks_for_a_loss() {
        let text = remedy(Code::BadCompression, "replies");
        let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words} in {text}"));
        assert!(at("receive.message.max.bytes in [kafka.properties]") < at("memory"));
        assert!(at("memory") < at("restore it") && at("restore it") < at("accept the loss"));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_place_and_a_remedy() {
        let place = Place { topic: "replies".to_owned(), partition: 3, offset: 17 };
        for (code, words) in [
            (Code::TopicAuthorizationFailed, "grant READ on replies"),
            (Code::InvalidMessage, "corrupt"),
            (Code::InvalidMessage, "set the group's offset for replies"),
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
