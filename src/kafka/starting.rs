//! How a partition begins: what the group has committed for it, what the broker has of it, and whether the two belong
//! together.

use std::collections::HashMap;

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};

use super::native::{self, TopicId, TopicIds, set_leader_epoch};
use super::notes::Note;
use super::positions::{self, Committed, Named, OnGap, Start};
use super::rebalance::Context;
use crate::bridge::seams::{Control, PartitionId};

/// Where a partition is at the start of an assignment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Next offset to read, where it is known.
    pub(super) position: Option<i64>,
    /// What the group has committed.
    pub(super) committed: Option<i64>,
    /// What is known of the topic and the position.
    pub(super) note: Note,
    /// Whether it is not to be read.
    pub(super) halted: bool,
    /// Whether that is because it is not known where to start.
    pub(super) undecided: bool,
    /// Whether that is because its topic was made again.
    pub(super) remade: bool,
}

/// Where a partition begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    id: PartitionId,
    /// `None`: the group's answer is missing, and nothing is read before it is there.
    start: Option<Start>,
    /// The oldest offset there is, where the leader told.
    low: Option<i64>,
    committed: Option<i64>,
    note: Note,
}

impl Context {
    /// Decides where each of these partitions starts. Of those that are being read, the position is given, and it is of
    /// the topic that was read before.
    fn beginnings(&self, consumer: &BaseConsumer<Self>, these: &[(PartitionId, Option<i64>)]) -> Vec<Beginning> {
        let named: Vec<Named> = these.iter().map(|(id, _)| self.partitions().named(*id)).collect();
        let at = |index: usize| these[index].1;
        let unknown: Vec<Named> = (0..these.len()).filter(|i| at(*i).is_none()).map(|i| named[i].clone()).collect();
        let committed = if unknown.is_empty() {
            Ok(HashMap::new())
        } else {
            positions::committed(consumer, &unknown, self.lookup_timeout)
        };
        if let Err(error) = &committed {
            tracing::warn!(consumer = %self.name, %error, "cannot read committed offsets");
        }
        let ids = if unknown.is_empty() { TopicIds::new() } else { self.topic_ids(consumer) };
        let marks = positions::watermarks(consumer, &named, self.lookup_timeout);
        let remade = committed.as_ref().map_or_else(|_| HashMap::new(), |all| self.remade(&unknown, all, &ids));
        for (topic, is) in &ids {
            self.identity().first_seen(topic, remade.get(topic).copied().unwrap_or(*is));
        }
        let begin = |(index, (id, at)): (usize, &(PartitionId, Option<i64>))| {
            let name = &named[index];
            let marks = marks.get(name).copied();
            let low = marks.map(|(low, _)| low);
            let is = ids.get(&name.0).copied();
            let beginning = Beginning { id: *id, start: None, low, committed: None, note: Note::default() };
            let Committed { offset, note } = match (at, &committed) {
                (Some(at), _) => Committed { offset: *at, note: self.partitions().note(*id, *at) },
                (None, Err(_)) => return beginning,
                (None, Ok(all)) => match (all.get(name), remade.get(&name.0)) {
                    (found, Some(was)) if found.is_none_or(|found| found.note.topic_id != is) => {
                        return self.begin_remade(beginning, &name.0, *was, is);
                    }
                    (Some(found), _) => Committed {
                        offset: found.offset,
                        note: Note { topic_id: is.or(found.note.topic_id), ..found.note },
                    },
                    (None, _) => {
                        let start = low.map_or(Start::Beginning, Start::At);
                        return Beginning {
                            start: Some(start),
                            note: Note { topic_id: is, leader_epoch: None },
                            ..beginning
                        };
                    }
                },
            };
            Beginning {
                start: Some(positions::decide(Some(offset), marks)),
                committed: Some(offset),
                note,
                ..beginning
            }
        };
        these.iter().enumerate().map(begin).collect()
    }

    /// Topics among these that were deleted and made again since they were read, with the id they had: by what is committed,
    /// or by what this process has seen while the group's offsets went with the topic.
    fn remade(
        &self,
        named: &[Named],
        committed: &HashMap<Named, Committed>,
        ids: &TopicIds,
    ) -> HashMap<String, TopicId> {
        let mut remade = HashMap::new();
        for name in named {
            let noted = committed.get(name).and_then(|committed| committed.note.topic_id);
            let (Some(was), Some(is)) = (noted.or(self.identity().known(&name.0)), ids.get(&name.0)) else { continue };
            if was != *is {
                remade.insert(name.0.clone(), was);
            }
        }
        remade
    }

    /// Of a topic that was made again nothing is read, unless somebody has said that it may be: then all of it.
    fn begin_remade(&self, beginning: Beginning, topic: &str, was: TopicId, is: Option<TopicId>) -> Beginning {
        let Some(is) = is else { return beginning };
        if !self.identity().accepts(topic, is) {
            let note = Note { topic_id: Some(was), leader_epoch: None };
            return Beginning { start: Some(Start::Recreated { was, is }), note, ..beginning };
        }
        self.identity().is_known(topic, is);
        tracing::warn!(topic, partition = beginning.id.partition, %was, %is, "made again, and accepted: read from its beginning");
        let start = beginning.low.map_or(Start::Beginning, Start::At);
        Beginning { start: Some(start), note: Note { topic_id: Some(is), leader_epoch: None }, ..beginning }
    }

    /// Turns a beginning into what is assigned: the offset for librdkafka and what is noted here. Reports what is wrong.
    fn settle_start(&self, beginning: Beginning) -> (Offset, Place) {
        let Beginning { id, start, committed, note, .. } = beginning;
        let (topic, partition) = self.partitions().named(id);
        self.tell_start(id, start);
        let place = |position, halted| Place { position, committed, note, halted, undecided: false, remade: false };
        match start {
            // Paused at once, so that it does not matter where.
            None => (Offset::Invalid, Place { halted: true, undecided: true, ..place(None, true) }),
            Some(Start::Beginning) => (Offset::Beginning, place(None, false)),
            Some(Start::At(offset)) => (Offset::Offset(offset), place(Some(offset), false)),
            Some(Start::Gap { wanted, low }) if self.on_gap == OnGap::Continue => {
                tracing::warn!(topic, partition, wanted, low, records = low - wanted, "records lost to retention");
                let note = Note { leader_epoch: None, ..note };
                (Offset::Offset(low), Place { note, ..place(Some(low), false) })
            }
            Some(Start::Gap { wanted, low }) => (Offset::Offset(low), place(Some(wanted), true)),
            Some(Start::Beyond { wanted, high }) => (Offset::Offset(high), place(Some(wanted), true)),
            Some(Start::Truncated { wanted }) => (Offset::Offset(wanted), place(Some(wanted), true)),
            Some(Start::Recreated { .. }) => (Offset::Beginning, Place { remade: true, ..place(None, true) }),
        }
    }

    /// Raises what keeps a partition from being read, or ends it.
    pub(super) fn tell_start(&self, id: PartitionId, start: Option<Start>) {
        let (topic, partition) = self.partitions().named(id);
        let condition = format!("position/{topic}/{partition}");
        match start.and_then(|start| positions::halt(&topic, partition, start, self.on_gap)) {
            Some(halt) => self.conditions.raise(&condition, halt.to_string()),
            None => self.conditions.clear(&condition),
        }
    }

    /// Puts the start of a partition into the list of an assignment.
    pub(super) fn list_start(
        &self,
        list: &mut TopicPartitionList,
        id: PartitionId,
        offset: Offset,
        place: Place,
    ) -> KafkaResult<()> {
        let (topic, partition) = self.partitions().named(id);
        list.set_partition_offset(&topic, partition, offset)?;
        if let (Some(epoch), false) = (place.note.leader_epoch, place.halted) {
            set_leader_epoch(list, &topic, partition, epoch);
        }
        Ok(())
    }

    pub(super) fn assigned(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let wanted: Vec<_> = self.ids(list).into_iter().map(|id| (id, None)).collect();
        let beginnings = self.beginnings(consumer, &wanted);
        let mut settled = Vec::with_capacity(wanted.len());
        for beginning in &beginnings {
            let (offset, place) = self.settle_start(*beginning);
            self.list_start(list, beginning.id, offset, place)?;
            settled.push((beginning.id, place));
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list)?,
        }
        self.conditions.member();
        let epochs: Vec<_> = {
            let mut partitions = self.partitions();
            settled.into_iter().map(|(id, place)| (id, partitions.assign(id, place))).collect()
        };
        self.apply_pauses(consumer);
        for (id, epoch) in &epochs {
            let (topic, partition) = self.partitions().named(*id);
            self.conditions.topic_seen(&topic);
            let from = self.partitions().settled(*id);
            tracing::info!(consumer = %self.name, topic, partition, epoch, from, "partition assigned");
        }
        self.commit_first(consumer, &beginnings);
        if !epochs.is_empty() {
            let _ = self.control.send(Control::Assigned(epochs));
        }
        Ok(())
    }

    /// Commits the first offset of a partition for which the group has none, so that what retention removes from now on is
    /// seen as a gap; and of a topic that was made again, that it is not read.
    fn commit_first(&self, consumer: &BaseConsumer<Self>, beginnings: &[Beginning]) {
        let (mut first, mut remade) = (Vec::new(), false);
        for Beginning { id, start, committed, .. } in beginnings {
            match start {
                Some(Start::At(offset)) if committed.is_none() => first.push((*id, *offset)),
                Some(Start::Recreated { .. }) => remade = true,
                _ => {}
            }
        }
        self.store(consumer, first);
        if remade {
            self.remember_remade(consumer);
        }
    }

    /// Unassigns and assigns all partitions that are read, at positions checked against what the broker has.
    pub(super) fn restart(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        let reading = self.partitions().reading();
        if reading.is_empty() {
            return Ok(());
        }
        let beginnings = self.beginnings(consumer, &reading);
        if beginnings.iter().any(|beginning| beginning.start.is_none()) {
            return Err(KafkaError::OffsetFetch(Code::OperationTimedOut));
        }
        let named: Vec<_> = reading.iter().map(|(id, _)| self.partitions().named(*id)).collect();
        let mut list = positions::unassign(consumer, &named)?;
        for beginning in &beginnings {
            let (offset, place) = self.settle_start(*beginning);
            self.list_start(&mut list, beginning.id, offset, place)?;
            self.partitions().restart(beginning.id, place);
        }
        consumer.incremental_assign(&list)?;
        self.apply_pauses(consumer);
        self.commit_first(consumer, &beginnings);
        Ok(())
    }

    /// Reading has come to an end: what is settled may reach there.
    pub(super) fn reached(&self, consumer: &BaseConsumer<Self>, place: &native::Place) {
        let Some(id) = self.partitions().id(&place.topic, place.partition) else { return };
        let settled = self.partitions().ended(id, place.offset);
        settled.into_iter().for_each(|offset| self.store(consumer, vec![(id, offset)]));
    }

    /// Asks the logs that may have lost what was read of them: librdkafka does so at a seek, and goes on only if all is there.
    pub(super) fn ask_logs(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        let doubted = self.partitions().doubted();
        if doubted.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(doubted.len());
        for (id, position, epoch) in &doubted {
            let (topic, partition) = self.partitions().named(*id);
            list.add_partition_offset(&topic, partition, Offset::Offset(*position))?;
            set_leader_epoch(&mut list, &topic, partition, *epoch);
            tracing::debug!(topic, partition, position, epoch, "another leader since this was read: is it all there?");
        }
        let sought = consumer.seek_partitions(list, self.lookup_timeout)?;
        sought.elements().iter().try_for_each(|element| element.error())?;
        doubted.iter().for_each(|(id, _, _)| self.partitions().is_asked(*id));
        Ok(())
    }

    /// The log of a partition no longer has what was read of it.
    pub(super) fn truncated(&self, consumer: &BaseConsumer<Self>, place: &native::Place) {
        let Some(id) = self.partitions().id(&place.topic, place.partition) else { return };
        let Some(wanted) = self.partitions().position(id) else { return };
        self.partitions().halt(id, false);
        // What it was in trouble over is no longer the matter.
        if self.partitions().fetching.well(id) {
            self.is_read_again(id);
        }
        self.tell_start(id, Some(Start::Truncated { wanted }));
        self.apply_pauses(consumer);
    }
}
