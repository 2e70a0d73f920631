//! What a flood of dead letters means for partitions: those of a stopped topic are paused, and what was delivered of them
//! is held back. What is in hand goes on to its end.

use super::Worker;
use crate::bridge::seams::{Command, Engine, Log};

impl<E: Engine + 'static, L: Log + 'static> Worker<E, L> {
    /// Pauses what was stopped since, and lets what flows again be taken up.
    pub(super) fn tend_floods(&mut self) {
        self.core.look_after_floods();
        self.hold_flooded();
    }

    /// Pauses the partitions of stopped topics, as those are that hold records back. [`Worker::retry_held`] reads them again.
    pub(super) fn hold_flooded(&mut self) {
        let gate = &self.core.floodgate;
        let held = self.partitions.block(|id| gate.is_stopped(id));
        if !held.is_empty() && !self.paused {
            self.core.log.command(Command::Pause(held));
        }
    }
}
