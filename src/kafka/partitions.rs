//! What the consumer thread knows of its partitions. Plain data: no Kafka call is made here.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::fetching::Fetching;
use super::lag::Lags;
use super::native::TopicId;
use super::notes::{LeaderEpochs, Note};
use super::starting::Place;
use crate::bridge::seams::{Epoch, PartitionId};

/// One partition that is, or once was, ours.
#[derive(Clone, Copy, Debug, Default)]
struct Partition {
    epoch: Epoch,
    assigned: bool,
    /// Kept in the assignment but not read: its start is not where it should be, or not known.
    halted: bool,
    /// Halted because it is not known yet where to start.
    undecided: bool,
    /// Halted because its topic was made again.
    remade: bool,
    /// By command of the worker.
    paused: bool,
    /// What librdkafka was told last. Resuming what is not paused makes it fetch anew, so it is told changes only.
    told_to_pause: bool,
    /// Next offset to read, once known.
    position: Option<i64>,
    /// One past the last record handed on, at first the start: what the worker stores when it has settled everything. What
    /// lies from here to the position are no records: markers of transactions, and what those have taken back.
    handed_to: Option<i64>,
    /// The id of the topic that is read, where it is known.
    topic_id: Option<TopicId>,
    epochs: LeaderEpochs,
    /// Nothing was read yet that shows whether the log still has what came before the position.
    unproven: bool,
    /// A record of a later leader has come, and the log is to be asked (KIP-320) before anything is handed on.
    doubted: bool,
    /// Next to read as the group sees it: the start, then what was stored.
    settled: Option<i64>,
    /// What is committed: the start, then what the commit callback told.
    committed: Option<i64>,
}

impl Partition {
    fn begin(&mut self, place: Place) {
        let Place { position, committed, note, halted, undecided, remade } = place;
        self.position = position;
        self.handed_to = position;
        self.settled = position;
        self.committed = committed;
        self.topic_id = note.topic_id;
        self.epochs = LeaderEpochs::starting(position, note.leader_epoch);
        (self.halted, self.undecided, self.remade) = (halted, undecided, remade);
        self.doubt();
    }

    /// Reading starts, perhaps from a log that has changed since.
    fn doubt(&mut self) {
        self.unproven = self.known_epoch().is_some();
        self.doubted = false;
    }

    /// The epoch of the leader under which what lies before the position was read.
    fn known_epoch(&self) -> Option<i32> {
        self.position.and_then(|position| self.epochs.at(position))
    }

    /// Whether a record shows that the log is the one that was read before: it was written under the same leader, whose log
    /// is one. Under a later one it may have lost its end and have grown anew.
    fn is_proven_by(&mut self, leader_epoch: Option<i32>) -> bool {
        self.doubted |= matches!((self.known_epoch(), leader_epoch), (Some(before), Some(now)) if before != now);
        self.unproven = self.doubted;
        !self.doubted
    }

    /// Whether what was stored is not committed yet.
    fn is_ahead(&self) -> bool {
        self.assigned && self.settled > self.committed
    }
}

/// All partitions of this consumer.
#[derive(Debug)]
pub(super) struct Partitions {
    topics: Arc<[Arc<str>]>,
    table: FxHashMap<PartitionId, Partition>,
    /// The worker takes nothing at present: everything is paused.
    choked: bool,
    any_doubted: bool,
    /// Those that cannot be read although they are ours.
    pub(super) fetching: Fetching,
    pub(super) lags: Lags,
}

impl Partitions {
    pub(super) fn new(topics: Arc<[Arc<str>]>) -> Self {
        Self {
            topics,
            table: FxHashMap::default(),
            choked: false,
            any_doubted: false,
            fetching: Fetching::default(),
            lags: Lags::default(),
        }
    }

    /// The id of a partition by its topic's name; `None` for topics that were not subscribed to.
    pub(super) fn id(&self, topic: &str, partition: i32) -> Option<PartitionId> {
        let index = self.topics.iter().position(|t| &**t == topic)?;
        Some(PartitionId { topic: u16::try_from(index).ok()?, partition })
    }

    pub(super) fn topic(&self, id: PartitionId) -> &Arc<str> {
        &self.topics[usize::from(id.topic)]
    }

    pub(super) fn named(&self, id: PartitionId) -> (String, i32) {
        (self.topic(id).to_string(), id.partition)
    }

    /// Takes a partition in: its epoch grows. Our reasons to pause do not outlive an assignment; what librdkafka was told
    /// does: it forgets only pauses of its own (rdkafka_assignment.c, RD_KAFKA_TOPPAR_F_APP_PAUSE stays).
    pub(super) fn assign(&mut self, id: PartitionId, place: Place) -> Epoch {
        let entry = self.table.entry(id).or_default();
        let epoch = entry.epoch + 1;
        *entry = Partition { epoch, assigned: true, told_to_pause: entry.told_to_pause, ..Partition::default() };
        entry.begin(place);
        epoch
    }

    /// Starts anew at another position within the same assignment; what was read before stays valid.
    pub(super) fn restart(&mut self, id: PartitionId, place: Place) {
        let Some(entry) = self.table.get_mut(&id) else { return };
        if entry.undecided {
            return entry.begin(place);
        }
        // A halted partition keeps its position: what was read before the trouble may still be stored.
        entry.position = if place.halted { entry.position } else { place.position };
        entry.halted = place.halted;
        entry.doubt();
    }

    /// Partitions of which the log is to be asked, with what was read of it and the epoch. Markers behind the last record
    /// handed on may be of a later leader: of those the log of that epoch knows nothing.
    pub(super) fn doubted(&mut self) -> Vec<(PartitionId, i64, i32)> {
        if !std::mem::take(&mut self.any_doubted) {
            return Vec::new();
        }
        let doubted = self.table.iter().filter(|(_, p)| p.assigned && !p.halted && p.doubted);
        doubted.filter_map(|(id, p)| Some((*id, p.handed_to?, p.known_epoch()?))).collect()
    }

    /// What comes now comes only if the log has what was read.
    pub(super) fn is_asked(&mut self, id: PartitionId) {
        if let Some(entry) = self.table.get_mut(&id) {
            (entry.unproven, entry.doubted) = (false, false);
        }
    }

    /// Reads no more of a partition. What was read may still be stored.
    pub(super) fn halt(&mut self, id: PartitionId, remade: bool) {
        if let Some(entry) = self.table.get_mut(&id) {
            entry.halted = true;
            entry.undecided = false;
            entry.remade |= remade;
        }
    }

    /// Partitions of topics that were made again, with the id of the one that was read.
    pub(super) fn of_remade(&self) -> Vec<(PartitionId, TopicId)> {
        let remade = self.table.iter().filter(|(_, p)| p.assigned && p.remade);
        remade.filter_map(|(id, p)| Some((*id, p.topic_id?))).collect()
    }

    /// Lets a partition go: its epoch grows.
    pub(super) fn revoke(&mut self, id: PartitionId) {
        self.fetching.well(id);
        self.lags.forget(id);
        if let Some(entry) = self.table.get_mut(&id) {
            let (epoch, told_to_pause) = (entry.epoch + 1, entry.told_to_pause);
            *entry = Partition { epoch, told_to_pause, ..Partition::default() };
        }
    }

    /// The present epochs of those that are assigned.
    pub(super) fn epochs(&self, ids: &[PartitionId]) -> Vec<(PartitionId, Epoch)> {
        let ours = |id: &PartitionId| self.table.get(id).filter(|p| p.assigned).map(|p| (*id, p.epoch));
        ids.iter().filter_map(ours).collect()
    }

    /// Notes that a record was read. `None`: it must not be handed on.
    pub(super) fn read(&mut self, id: PartitionId, offset: i64, leader_epoch: Option<i32>) -> Option<Epoch> {
        let entry = self.table.get_mut(&id).filter(|p| p.assigned && !p.halted)?;
        if entry.unproven && !entry.is_proven_by(leader_epoch) {
            self.any_doubted = true;
            return None;
        }
        entry.position = Some(offset + 1);
        entry.handed_to = entry.position;
        entry.epochs.read(offset, leader_epoch);
        Some(entry.epoch)
    }

    /// Notes that reading has come to the end of a partition, of which librdkafka tells in its turn among the records: there
    /// is no record between the last one read and this offset. Answers what may be stored at once, because nothing that was
    /// handed on is unsettled. Never asked of watermarks: those lie beyond what was fetched and not handed on yet.
    pub(super) fn ended(&mut self, id: PartitionId, offset: i64) -> Option<i64> {
        let entry = self.table.get_mut(&id).filter(|p| p.assigned && !p.halted && !p.doubted)?;
        if entry.position.is_some_and(|position| offset <= position) {
            return None;
        }
        entry.position = Some(offset);
        (entry.settled == entry.handed_to).then_some(offset)
    }

    /// Whether it is assigned and read.
    pub(super) fn is_read(&self, id: PartitionId) -> bool {
        self.table.get(&id).is_some_and(|p| p.assigned && !p.halted)
    }

    /// Assigned and read, or only not decided yet, with the next offset to read where it is known.
    pub(super) fn reading(&self) -> Vec<(PartitionId, Option<i64>)> {
        let reading = self.table.iter().filter(|(_, p)| p.assigned && (!p.halted || p.undecided));
        reading.map(|(id, p)| (*id, p.position)).collect()
    }

    /// Whether it is not known of some partition where to start.
    pub(super) fn any_undecided(&self) -> bool {
        self.table.values().any(|p| p.assigned && p.undecided)
    }

    /// What is to be committed beside an offset of this partition.
    pub(super) fn note(&self, id: PartitionId, offset: i64) -> Note {
        let Some(entry) = self.table.get(&id) else { return Note::default() };
        // Beyond the last record handed on nobody knows the epoch.
        let known = entry.handed_to.is_some_and(|handed_to| offset <= handed_to);
        Note { topic_id: entry.topic_id, leader_epoch: entry.epochs.at(offset).filter(|_| known) }
    }

    /// The partitions that are ours, with the id of the topic of which each is read.
    pub(super) fn topic_ids(&self) -> Vec<(PartitionId, Option<TopicId>)> {
        self.table.iter().filter(|(_, p)| p.assigned).map(|(id, p)| (*id, p.topic_id)).collect()
    }

    /// The id of a partition's topic is known now.
    pub(super) fn is_of(&mut self, id: PartitionId, topic_id: TopicId) {
        if let Some(entry) = self.table.get_mut(&id) {
            entry.topic_id.get_or_insert(topic_id);
        }
    }

    /// What may be stored of these: the partition is ours, the offset grows (or was stored and is not committed), and
    /// nothing unread is passed. One past the last record handed on stands for the position, which may lie behind markers.
    /// The second number counts those whose partition has left.
    pub(super) fn storable(&self, offsets: Vec<(PartitionId, i64)>) -> (Vec<(PartitionId, i64)>, usize) {
        let (ours, late): (Vec<_>, Vec<_>) =
            offsets.into_iter().partition(|(id, _)| self.table.get(id).is_some_and(|p| p.assigned));
        let grows = |(id, offset): (PartitionId, i64)| {
            let p = &self.table[&id];
            let offset = if p.handed_to == Some(offset) { p.position.unwrap_or(offset) } else { offset };
            let grows = p.settled.is_none_or(|settled| offset > settled || offset == settled && p.is_ahead());
            (grows && p.position.is_some_and(|read| offset <= read)).then_some((id, offset))
        };
        (ours.into_iter().filter_map(grows).collect(), late.len())
    }

    /// Notes what was stored.
    pub(super) fn stored(&mut self, id: PartitionId, offset: i64) {
        if let Some(entry) = self.table.get_mut(&id) {
            entry.settled = Some(offset);
            if entry.position == Some(offset) && entry.handed_to != entry.position {
                // What lies behind the last record was perhaps written under a later leader.
                entry.epochs = LeaderEpochs::default();
                entry.handed_to = entry.position;
            }
        }
    }

    /// Notes what is committed.
    pub(super) fn committed(&mut self, id: PartitionId, offset: i64) {
        if let Some(entry) = self.table.get_mut(&id).filter(|p| p.assigned) {
            entry.committed = entry.committed.max(Some(offset));
        }
    }

    /// What was stored and is not committed, in order.
    pub(super) fn uncommitted(&self) -> Vec<(PartitionId, i64)> {
        let ahead = self.table.iter().filter(|(_, p)| p.is_ahead());
        let mut ahead: Vec<_> = ahead.filter_map(|(id, p)| Some((*id, p.settled?))).collect();
        ahead.sort_unstable();
        ahead
    }

    /// Those that are ours, with the next to read as the group sees it, where known.
    pub(super) fn assigned(&self) -> Vec<(PartitionId, Option<i64>)> {
        self.table.iter().filter(|(_, p)| p.assigned).map(|(id, p)| (*id, p.settled)).collect()
    }

    /// Next to read of a partition that is read, where known.
    pub(super) fn position(&self, id: PartitionId) -> Option<i64> {
        self.table.get(&id).filter(|p| p.assigned && !p.halted).and_then(|p| p.position)
    }

    /// Next to read as the group sees it, where known.
    pub(super) fn settled(&self, id: PartitionId) -> Option<i64> {
        self.table.get(&id).and_then(|p| p.settled)
    }

    pub(super) fn set_paused(&mut self, ids: &[PartitionId], paused: bool) {
        for id in ids {
            if let Some(entry) = self.table.get_mut(id).filter(|p| p.assigned) {
                entry.paused = paused;
            }
        }
    }

    pub(super) fn choked(&self) -> bool {
        self.choked
    }

    pub(super) fn set_choked(&mut self, choked: bool) {
        self.choked = choked;
    }

    /// What librdkafka must be told: (pause, resume). Counts as told.
    pub(super) fn pause_changes(&mut self) -> (Vec<PartitionId>, Vec<PartitionId>) {
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        let choked = self.choked;
        for (id, p) in self.table.iter_mut().filter(|(_, p)| p.assigned) {
            let wanted = choked || p.paused || p.halted;
            if wanted != p.told_to_pause {
                p.told_to_pause = wanted;
                if wanted { &mut pause } else { &mut resume }.push(*id);
            }
        }
        (pause, resume)
    }
}

#[cfg(test)]
#[path = "partitions_tests.rs"]
mod tests;
