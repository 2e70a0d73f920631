//! How partitions come and go, and how the worker ends.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::time::Instant;

use super::{Ending, Intake, Worker};
use crate::bridge::seams::{Command, Control, Engine, Epoch, Log, PartitionId};

/// Partitions on their way out.
pub(super) struct Leaving {
    partitions: Vec<(PartitionId, Epoch)>,
    prefixes: SyncSender<Vec<(PartitionId, i64)>>,
    deadline: Instant,
}

/// How long the consumer may take to leave its group after the revoke is done: a healthy close takes 0.1 s.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

impl<E: Engine + 'static, L: Log + 'static> Worker<E, L> {
    /// Hears everything that the consumer has said so far.
    pub(super) fn hear(&mut self, intake: &mut Intake) -> Option<Ending> {
        while let Ok(control) = intake.control.try_recv() {
            if let Some(ending) = self.control(control) {
                return Some(ending);
            }
        }
        None
    }

    pub(super) fn control(&mut self, control: Control) -> Option<Ending> {
        match control {
            Control::Assigned(assigned) => self.assign(assigned),
            Control::Revoked(partitions, prefixes) => {
                // The consumer goes on to a second revoke only when it has stopped waiting for the first.
                self.let_go(true);
                self.drain(&partitions);
                // A little before the consumer stops waiting, so that what is contiguous by then is still stored.
                let deadline = Instant::now() + self.core.options.revoke_timeout.mul_f64(0.8);
                self.leaving = Some(Leaving { partitions, prefixes, deadline });
                self.let_go(false);
            }
            Control::Lost(partitions) => {
                self.drain(&partitions);
                self.forget(&partitions);
            }
            Control::Fatal(text) => return Some(Ending::Fatal(text)),
        }
        None
    }

    fn assign(&mut self, assigned: Vec<(PartitionId, Epoch)>) {
        // Ours before, and given away without a word.
        let mut replaced = self.partitions.ids();
        replaced.retain(|(id, _)| assigned.iter().any(|(new, _)| new == id));
        self.drain(&replaced);
        self.forget(&replaced);
        let ids: Vec<_> = assigned.iter().map(|(id, _)| *id).collect();
        self.partitions.assign(assigned);
        self.ask_ledgers(&ids);
        if self.paused {
            self.core.log.command(Command::Pause(ids));
        }
        self.hold_flooded();
    }

    /// Lets nothing more start for these partitions. What waits stops waiting; calls in flight are let finish.
    fn drain(&mut self, leaving: &[(PartitionId, Epoch)]) {
        self.partitions.drain(leaving);
        self.lanes.remove(|work| work.is_of(leaving));
        for (work, asking) in std::mem::take(&mut self.ready) {
            if work.is_of(leaving) {
                self.leave_lane(&work);
            } else {
                self.ready.push_back((work, asking));
            }
        }
    }

    /// When a revoke has to be answered.
    pub(super) fn leave_by(&self) -> Option<Instant> {
        self.leaving.as_ref().map(|leaving| leaving.deadline)
    }

    /// Answers a revoke once nothing of the leaving partitions is in hand, or at its deadline.
    pub(super) fn let_go(&mut self, at_deadline: bool) {
        let drained = |leaving: &mut Leaving| at_deadline || self.partitions.drained(&leaving.partitions);
        let Some(leaving) = self.leaving.take_if(drained) else { return };
        let prefixes = self.forget(&leaving.partitions);
        if leaving.prefixes.send(prefixes).is_err() {
            tracing::warn!("the consumer stopped waiting for revoked partitions; what was in hand comes again");
        }
    }

    fn forget(&mut self, partitions: &[(PartitionId, Epoch)]) -> Vec<(PartitionId, i64)> {
        for (id, _) in partitions {
            self.core.metrics.forget_partition(self.core.options.topic(id.topic), id.partition);
        }
        let prefixes = self.partitions.remove(partitions);
        self.openings.retain(|opening| self.partitions.awaits(opening.ticket));
        prefixes
    }

    /// Stops intake: what has not started comes again at the next owner.
    pub(super) fn start_draining(&mut self) {
        self.backlog.clear();
        let all = self.partitions.ids();
        self.drain(&all);
    }

    /// Stores what is settled, has the consumer leave the group, and serves the revoke that this brings.
    pub(super) async fn close(&mut self, intake: &mut Intake, ending: Ending) -> Ending {
        self.start_draining();
        // The consumer may be waiting for a revoke at this moment, and hears nothing else until it is answered.
        self.let_go(true);
        let committable = self.partitions.take_committable();
        if !committable.is_empty() {
            self.core.log.command(Command::Store(committable));
        }
        self.core.log.command(Command::Close);
        let patience = Instant::now() + self.core.options.revoke_timeout + CLOSE_PATIENCE;
        loop {
            match tokio::time::timeout_at(patience, intake.control.recv()).await {
                Ok(Some(Control::Revoked(partitions, prefixes))) => {
                    let stored = self.forget(&partitions);
                    if prefixes.send(stored).is_err() {
                        tracing::debug!("the consumer did not wait for its last offsets");
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return ending,
                Err(_) => {
                    tracing::warn!(
                        "the consumer did not leave its group in time; the group notices by its session timeout"
                    );
                    return ending;
                }
            }
        }
    }
}
