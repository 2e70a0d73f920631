//! What a flood of dead letters means for partitions: those of a stopped topic are paused, and what was delivered of them
//! is held back. What is in hand goes on to its end.

use std::rc::Rc;

use super::Worker;
use crate::bridge::partitions::{Hold, Partition};
use crate::bridge::seams::{Command, Engine, Log, PartitionId};

impl<E: Engine + 'static, L: Log + 'static> Worker<E, L> {
    /// Pauses what was stopped since, and lets what flows again be taken up.
    pub(super) fn tend_floods(&mut self) {
        self.core.look_after_floods();
        self.hold_flooded();
    }

    /// Pauses the partitions of stopped topics, as those are that hold records back. [`Worker::retry_held`] reads them again.
    pub(super) fn hold_flooded(&mut self) {
        let core = Rc::clone(&self.core);
        self.hold_where(Hold::Flood, |id, _| core.floodgate.is_stopped(id));
    }

    /// In a trial each partition gives one reply at a time: one that is full of rubbish must not speak for all.
    pub(super) fn hold_tried(&mut self, id: PartitionId) {
        if self.core.floodgate.is_tried(id) {
            self.hold_where(Hold::Flood, |other, _| other == id);
        }
    }

    /// How many replies that are held back for a partition may be taken up at once; with none it stays paused, whether any
    /// is held back or not. Usually all: but after a stop much is held back and may be rubbish still, so that no more is
    /// taken than can be started, and of each partition its part.
    pub(super) fn turns(&self, id: PartitionId) -> usize {
        let gate = &self.core.floodgate;
        let places = self.core.options.max_in_flight.saturating_sub(self.ready.len());
        if !gate.admits(id) {
            0
        } else if gate.is_tried(id) {
            1
        } else if gate.is_wary(id) {
            (places / self.partitions.iter().count().max(1)).max(1)
        } else {
            usize::MAX
        }
    }

    pub(super) fn hold_where(&mut self, hold: Hold, these: impl Fn(PartitionId, &Partition) -> bool) {
        let held = self.partitions.block(hold, these);
        if !held.is_empty() && !self.paused {
            self.core.log.command(Command::Pause(held));
        }
    }
}
