//! Where to start reading a partition. `auto.offset.reset` is `error`, so nothing is ever skipped silently: the start
//! of every partition is decided here, from its committed offset and what the broker still has.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::native::{TopicId, notes};
use super::notes::Note;
use crate::config::OnRetentionGap;

/// What to do when retention has removed records that were never handled (`topics.on_retention_gap`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGap {
    /// Do not read the partition; be unready and name the gap.
    #[default]
    Stop,
    /// Say so in the log and go on with the oldest record there is.
    Continue,
}

/// Where reading starts, or why it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The group has never committed here: from the oldest record.
    Beginning,
    /// At this offset.
    At(i64),
    /// The offset wanted is below the oldest record there is.
    Gap {
        /// The offset wanted.
        wanted: i64,
        /// The oldest there is.
        low: i64,
    },
    /// The offset wanted lies beyond the end: the topic was made anew, or its end was lost.
    Beyond {
        /// The offset wanted.
        wanted: i64,
        /// The end.
        high: i64,
    },
    /// The topic was deleted and made again: what is committed is of the one before.
    Recreated {
        /// The id of the topic that was read.
        was: TopicId,
        /// The id of the topic that is there.
        is: TopicId,
    },
    /// A leader took over that lacks records which were read: the log has others in their place, or will have.
    Truncated {
        /// The next offset to read.
        wanted: i64,
    },
}

/// Decides. `marks` are the oldest offset and the end; without them the offset wanted is believed, and if it is wrong
/// librdkafka's AutoOffsetReset error brings us back here.
pub(super) fn decide(wanted: Option<i64>, marks: Option<(i64, i64)>) -> Start {
    match (wanted, marks) {
        (None, _) => Start::Beginning,
        (Some(wanted), Some((low, _))) if wanted < low => Start::Gap { wanted, low },
        (Some(wanted), Some((_, high))) if wanted > high => Start::Beyond { wanted, high },
        (Some(wanted), _) => Start::At(wanted),
    }
}

/// Why a partition is not read, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// What is wrong, with topic and partition.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

impl From<OnRetentionGap> for OnGap {
    fn from(setting: OnRetentionGap) -> Self {
        match setting {
            OnRetentionGap::Stop => Self::Stop,
            OnRetentionGap::Continue => Self::Continue,
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.what, self.fix)
    }
}

/// Why a partition is not read; `None` when it is.
pub(super) fn halt(topic: &str, partition: i32, start: Start, on_gap: OnGap) -> Option<Halt> {
    let (why, fix) = match start {
        Start::Beginning | Start::At(_) => return None,
        Start::Gap { .. } if on_gap == OnGap::Continue => return None,
        Start::Gap { wanted, low } => (
            format!("retention has removed {} records ({wanted}..{low}) that were not settled", low - wanted),
            "Restore them, or accept the loss: set topics.on_retention_gap = \"continue\" and restart".to_owned(),
        ),
        Start::Beyond { wanted, high } => (
            format!("the group's committed offset {wanted} lies beyond the end {high}"),
            "The topic was made anew or has lost its end; stop all members and reset the group's offsets for it".to_owned(),
        ),
        Start::Recreated { was, is } => (
            format!("the topic was deleted and made again (its id was {was} and is {is} now)"),
            format!(
                "What was not settled of the old one is lost. To read the new one from its beginning, restart all members \
                 with topics.accept_recreated = [\"{topic}={is}\"]"
            ),
        ),
        Start::Truncated { wanted } => (
            format!(
                "the log has lost records before {wanted} that were read (an unclean leader election), and has others in \
                 their place, or will have"
            ),
            "Find out where the logs part (the brokers' log says it), stop all members and set the group's offset for it there"
                .to_owned(),
        ),
    };
    let what = format!("{topic}/{partition} is stopped: {why}");
    Some(Halt { topic: topic.to_owned(), partition, what, fix })
}

/// Topic and partition.
pub(super) type Named = (String, i32);

/// What the group has committed for a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Committed {
    /// Next to read.
    pub(super) offset: i64,
    /// What stands beside it.
    pub(super) note: Note,
}

/// What is committed by partition; no entry where the group has nothing.
///
/// # Errors
/// When the coordinator does not answer in time, or answers with an error for any of them.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[Named],
    within: Duration,
) -> KafkaResult<HashMap<Named, Committed>> {
    // The list must be gone before the consumer closes: a live one can hang the close for ever.
    let found = consumer.committed_offsets(list(partitions, Offset::Invalid)?, within)?;
    let mut committed = HashMap::new();
    for (element, note) in found.elements().iter().zip(notes(&found)) {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            let named = (element.topic().to_owned(), element.partition());
            committed.insert(named, Committed { offset, note: Note::parse(&note) });
        }
    }
    Ok(committed)
}

/// Oldest offset and end by partition, two requests for each leader. Partitions whose leader gave no answer are absent.
pub(super) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[Named],
    within: Duration,
) -> HashMap<Named, (i64, i64)> {
    let deadline = Instant::now() + within;
    // In a ListOffsets request the "times" -2 and -1 mean oldest and end; fetch_watermarks does the same, one
    // partition at a time.
    let ask = |what| -> KafkaResult<HashMap<Named, i64>> {
        let left = deadline.saturating_duration_since(Instant::now());
        let found = consumer.offsets_for_times(list(partitions, what)?, left)?;
        let known = found.elements().into_iter().filter_map(|e| match (e.error(), e.offset()) {
            (Ok(()), Offset::Offset(offset)) => Some(((e.topic().to_owned(), e.partition()), offset)),
            _ => None,
        });
        Ok(known.collect())
    };
    let both = ask(Offset::Beginning).and_then(|low| Ok((low, ask(Offset::End)?)));
    match both {
        Ok((low, high)) => low.into_iter().filter_map(|(p, low)| Some((p.clone(), (low, *high.get(&p)?)))).collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot read the oldest and newest offsets");
            HashMap::new()
        }
    }
}

/// Unassigns these, and answers the list to assign them again. One that an assignment which failed has left out is not
/// assigned, and librdkafka would refuse all of them with it.
pub(super) fn unassign<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    these: &[Named],
) -> KafkaResult<TopicPartitionList> {
    let assigned = consumer.assignment()?;
    let mut present = these.to_vec();
    present.retain(|(topic, partition)| assigned.find_partition(topic, *partition).is_some());
    if !present.is_empty() {
        consumer.incremental_unassign(&list(&present, Offset::Invalid)?)?;
    }
    list(these, Offset::Invalid)
}

/// A list with the same offset for all.
pub(super) fn list(partitions: &[Named], offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, offset)?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_skipped_silently() {
        let table = [
            ((None, None), Start::Beginning),
            ((None, Some((5, 9))), Start::Beginning),
            ((Some(7), None), Start::At(7)),
            ((Some(5), Some((5, 9))), Start::At(5)),
            ((Some(9), Some((5, 9))), Start::At(9)),
            ((Some(4), Some((5, 9))), Start::Gap { wanted: 4, low: 5 }),
            ((Some(4), Some((9, 9))), Start::Gap { wanted: 4, low: 9 }),
            ((Some(10), Some((5, 9))), Start::Beyond { wanted: 10, high: 9 }),
        ];
        for ((wanted, marks), start) in table {
            assert_eq!(decide(wanted, marks), start, "{wanted:?} in {marks:?}");
        }
    }

    #[test]
    fn what_a_failed_assignment_has_left_out_is_assigned_again_with_the_others() {
        let mut config = rdkafka::ClientConfig::new();
        config
            .set("group.id", "g")
            .set("bootstrap.servers", "127.0.0.1:1")
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        let consumer: BaseConsumer = config.create().unwrap();
        let all = [("replies".to_owned(), 0), ("replies".to_owned(), 1)];
        for assigned in [&all[..1], &[], &all[..]] {
            let before = unassign(&consumer, &all).unwrap();
            assert_eq!((before.count(), consumer.assignment().unwrap().count()), (2, 0));
            if !assigned.is_empty() {
                consumer.incremental_assign(&list(assigned, Offset::Beginning).unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn a_gap_names_topic_partition_range_count_and_setting() {
        let gap = Start::Gap { wanted: 100, low: 350 };
        let reason = halt("replies", 3, gap, OnGap::Stop).unwrap().to_string();
        for part in ["replies/3", "250 records", "100..350", "topics.on_retention_gap"] {
            assert!(reason.contains(part), "{part} in {reason}");
        }
        assert_eq!(halt("replies", 3, gap, OnGap::Continue), None);
        let beyond = Start::Beyond { wanted: 9, high: 1 };
        assert!(halt("replies", 3, beyond, OnGap::Continue).is_some(), "never by setting");
        let id = |text| TopicId::parse(text).unwrap();
        let (was, is) = (id("Ki3xXsVZQkSW0S-CpcIdrQ"), id("9Rx0c1SNQfqkZ9iDTlqvAw"));
        let recreated = halt("replies", 3, Start::Recreated { was, is }, OnGap::Continue).unwrap().to_string();
        for part in ["replies/3", &was.to_string(), "topics.accept_recreated = [\"replies=9Rx0c1SNQfqkZ9iDTlqvAw\"]"] {
            assert!(recreated.contains(part), "{part} in {recreated}");
        }
        let truncated = halt("replies", 3, Start::Truncated { wanted: 7 }, OnGap::Continue).unwrap().to_string();
        assert!(truncated.contains("replies/3") && truncated.contains("before 7"), "{truncated}");
    }
}
