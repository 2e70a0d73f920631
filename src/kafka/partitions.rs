//! What the consumer thread knows of its partitions. Plain data: no Kafka call is made here.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::fetching::Fetching;
use super::lag::Lags;
use crate::bridge::seams::{Epoch, PartitionId};

/// One partition that is, or once was, ours.
#[derive(Clone, Copy, Debug, Default)]
struct Partition {
    epoch: Epoch,
    assigned: bool,
    /// Kept in the assignment but not read: its start is not where it should be.
    halted: bool,
    /// By command of the worker.
    paused: bool,
    /// What librdkafka was told last. Resuming what is not paused makes it fetch anew, so it is told changes only.
    told_to_pause: bool,
    /// Next offset to read, once known.
    position: Option<i64>,
    /// Next to read as the group sees it: the start, then what was stored.
    settled: Option<i64>,
    /// What is committed: the start, then what the commit callback told.
    committed: Option<i64>,
}

impl Partition {
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
    pub(super) fn assign(&mut self, id: PartitionId, position: Option<i64>, halted: bool) -> Epoch {
        let entry = self.table.entry(id).or_default();
        let epoch = entry.epoch + 1;
        *entry = Partition {
            epoch,
            assigned: true,
            halted,
            position,
            settled: position,
            committed: position,
            told_to_pause: entry.told_to_pause,
            ..Partition::default()
        };
        epoch
    }

    /// Starts anew at another position within the same assignment; what was read before stays valid.
    pub(super) fn restart(&mut self, id: PartitionId, position: Option<i64>, halted: bool) {
        if let Some(entry) = self.table.get_mut(&id) {
            // A halted partition keeps its position: what was read before the trouble may still be stored.
            entry.position = if halted { entry.position } else { position };
            entry.halted = halted;
        }
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
    pub(super) fn read(&mut self, id: PartitionId, offset: i64) -> Option<Epoch> {
        let entry = self.table.get_mut(&id).filter(|p| p.assigned && !p.halted)?;
        entry.position = Some(offset + 1);
        Some(entry.epoch)
    }

    /// Whether it is assigned and read.
    pub(super) fn is_read(&self, id: PartitionId) -> bool {
        self.table.get(&id).is_some_and(|p| p.assigned && !p.halted)
    }

    /// Assigned and read, with the next offset to read where it is known.
    pub(super) fn reading(&self) -> Vec<(PartitionId, Option<i64>)> {
        let reading = self.table.iter().filter(|(_, p)| p.assigned && !p.halted);
        reading.map(|(id, p)| (*id, p.position)).collect()
    }

    /// Which of these offsets may be stored: the partition is ours, the offset grows (or was stored and is not committed),
    /// and nothing unread is passed.
    /// The second number counts those whose partition has left.
    pub(super) fn storable(&self, offsets: Vec<(PartitionId, i64)>) -> (Vec<(PartitionId, i64)>, usize) {
        let (ours, late): (Vec<_>, Vec<_>) =
            offsets.into_iter().partition(|(id, _)| self.table.get(id).is_some_and(|p| p.assigned));
        let grows = |(id, offset): &(PartitionId, i64)| {
            let p = &self.table[id];
            let grows = p.settled.is_none_or(|settled| *offset > settled || *offset == settled && p.is_ahead());
            grows && p.position.is_some_and(|read| *offset <= read)
        };
        (ours.into_iter().filter(grows).collect(), late.len())
    }

    /// Notes what was stored.
    pub(super) fn stored(&mut self, id: PartitionId, offset: i64) {
        if let Some(entry) = self.table.get_mut(&id) {
            entry.settled = Some(offset);
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

    /// Whether something was read that is not settled.
    pub(super) fn in_hand(&self, id: PartitionId) -> bool {
        self.table.get(&id).is_some_and(|p| p.assigned && !p.halted && p.position.is_some() && p.position > p.settled)
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
mod tests {
    use super::*;

    const P: PartitionId = PartitionId { topic: 0, partition: 3 };

    fn one() -> Partitions {
        let mut partitions = Partitions::new(["replies".into()].into());
        partitions.assign(P, Some(10), false);
        partitions
    }

    #[test]
    fn epoch_separates_assignments() {
        let mut partitions = one();
        let first = partitions.read(P, 10);
        partitions.revoke(P);
        assert_eq!(partitions.read(P, 11), None, "a record of a partition that left is not handed on");
        partitions.assign(P, Some(11), false);
        assert_eq!((first, partitions.read(P, 11)), (Some(1), Some(3)));
    }

    #[test]
    fn store_never_falls_never_passes_the_unread_never_hits_what_left() {
        let mut partitions = one();
        for offset in 10..20 {
            partitions.read(P, offset);
        }
        let may = |partitions: &Partitions, offset| partitions.storable(vec![(P, offset)]).0.len();
        assert_eq!([9, 10, 11, 20, 21].map(|o| may(&partitions, o)), [0, 0, 1, 1, 0]);
        partitions.stored(P, 15);
        partitions.committed(P, 15);
        assert_eq!([15, 16].map(|o| may(&partitions, o)), [0, 1]);
        partitions.revoke(P);
        assert_eq!(partitions.storable(vec![(P, 17)]), (vec![], 1));
    }

    #[test]
    fn what_was_stored_and_is_not_committed_may_be_stored_again() {
        let mut partitions = one();
        for offset in 10..20 {
            partitions.read(P, offset);
        }
        partitions.stored(P, 15);
        assert_eq!(partitions.uncommitted(), [(P, 15)]);
        assert_eq!(partitions.storable(vec![(P, 15)]).0.len(), 1);
        partitions.committed(P, 15);
        assert_eq!((partitions.uncommitted(), partitions.storable(vec![(P, 15)]).0.len()), (vec![], 0));
        partitions.stored(P, 16);
        partitions.revoke(P);
        assert_eq!(partitions.uncommitted(), [], "what left is not ours to commit");
    }

    #[test]
    fn halted_partition_delivers_nothing_and_stores_only_what_was_read_before() {
        let mut partitions = one();
        partitions.read(P, 10);
        partitions.restart(P, Some(500), true);
        assert_eq!(partitions.read(P, 500), None);
        assert_eq!(partitions.storable(vec![(P, 11)]).0.len(), 1);
        assert_eq!(partitions.storable(vec![(P, 501)]).0.len(), 0);
    }

    #[test]
    fn a_partition_that_left_while_it_was_paused_is_resumed_when_it_comes_back() {
        let mut partitions = one();
        partitions.set_paused(&[P], true);
        assert_eq!(partitions.pause_changes(), (vec![P], vec![]));
        partitions.revoke(P);
        assert_eq!(partitions.pause_changes(), (vec![], vec![]), "it is not ours to resume");
        partitions.assign(P, Some(7), false);
        assert_eq!(partitions.pause_changes(), (vec![], vec![P]));
        assert_eq!(partitions.pause_changes(), (vec![], vec![]), "once");
    }

    #[test]
    fn a_partition_is_told_to_pause_once_and_resumed_only_when_no_reason_is_left() {
        let mut partitions = one();
        partitions.set_paused(&[P], true);
        partitions.set_choked(true);
        assert_eq!(partitions.pause_changes(), (vec![P], vec![]));
        partitions.set_choked(false);
        assert_eq!(partitions.pause_changes(), (vec![], vec![]), "the worker's pause still holds");
        partitions.set_paused(&[P], false);
        assert_eq!(partitions.pause_changes(), (vec![], vec![P]));
    }

    #[test]
    fn what_was_read_is_in_hand_until_it_is_settled() {
        let mut partitions = one();
        assert!(!partitions.in_hand(P));
        partitions.read(P, 10);
        assert!(partitions.in_hand(P));
        partitions.stored(P, 11);
        assert!(!partitions.in_hand(P));
    }
}
