//! The partitions that are ours at the moment, each with its offsets, its backlog and the token that ends its work.

use std::collections::VecDeque;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use tokio_util::sync::CancellationToken;

use super::offsets::Offsets;
use super::seams::{Epoch, PartitionId, Received};

/// A record that came to the worker and was not taken up yet.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) received: Received,
    /// When it came, in milliseconds since the epoch, as the wall clock showed it.
    pub(crate) at_ms: i64,
    /// The same by the steady clock.
    pub(crate) steady_ms: i64,
}

/// One partition for as long as one assignment lasts.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) epoch: Epoch,
    pub(crate) offsets: Offsets,
    pub(crate) life: Rc<Life>,
    /// Delivered records that may not start yet: the partition is too far ahead, a lane is full, its topic is stopped, or they
    /// are not due.
    pub(crate) held: VecDeque<Delivered>,
    /// Whether what comes is held back.
    pub(crate) blocked: bool,
    /// Whether the consumer was told to pause because of that.
    pub(crate) paused: bool,
    /// Records started and not finished.
    pub(crate) started: usize,
    /// Revoked: nothing may start.
    pub(crate) draining: bool,
    /// The reading of the ledger that its records wait for.
    opening: Option<u64>,
}

impl Partition {
    /// Whether its ledger is still being read.
    pub(crate) fn is_opening(&self) -> bool {
        self.opening.is_some()
    }
}

/// How long the work of one assignment may go on.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// Cancelled when the partition begins to leave: what waits for the engine stops waiting, calls in flight are let
    /// finish, and what they led to is written.
    pub(crate) leaving: CancellationToken,
    /// Cancelled when it has left: nothing more is tried again.
    pub(crate) gone: CancellationToken,
}

/// All partitions of one worker.
#[derive(Debug, Default)]
pub(crate) struct Partitions(FxHashMap<PartitionId, Partition>);

impl Partitions {
    /// Takes partitions in. None of them is here under an earlier epoch.
    pub(crate) fn assign(&mut self, assigned: Vec<(PartitionId, Epoch)>) {
        for (id, epoch) in assigned {
            let fresh = Partition {
                epoch,
                offsets: Offsets::new(),
                life: Rc::default(),
                held: VecDeque::new(),
                blocked: false,
                paused: false,
                started: 0,
                draining: false,
                opening: None,
            };
            self.0.insert(id, fresh);
        }
    }

    /// The partition, if this epoch of it is ours and it is not leaving.
    pub(crate) fn open(&mut self, id: PartitionId, epoch: Epoch) -> Option<&mut Partition> {
        self.current(id, epoch).filter(|p| !p.draining)
    }

    /// The partition, if this epoch of it is ours, leaving or not.
    pub(crate) fn current(&mut self, id: PartitionId, epoch: Epoch) -> Option<&mut Partition> {
        self.0.get_mut(&id).filter(|p| p.epoch == epoch)
    }

    /// Lets nothing more start for these, and ends their waits.
    pub(crate) fn drain(&mut self, leaving: &[(PartitionId, Epoch)]) {
        for (id, epoch) in leaving {
            if let Some(partition) = self.current(*id, *epoch) {
                partition.draining = true;
                partition.held.clear();
                partition.life.leaving.cancel();
            }
        }
    }

    /// Whether nothing of these is in hand any more.
    pub(crate) fn drained(&mut self, leaving: &[(PartitionId, Epoch)]) -> bool {
        leaving.iter().all(|(id, epoch)| self.current(*id, *epoch).is_none_or(|p| p.started == 0))
    }

    /// Gives these up and answers what may be stored for each.
    pub(crate) fn remove(&mut self, leaving: &[(PartitionId, Epoch)]) -> Vec<(PartitionId, i64)> {
        let mut prefixes = Vec::with_capacity(leaving.len());
        for (id, epoch) in leaving {
            if self.current(*id, *epoch).is_none() {
                continue;
            }
            if let Some(partition) = self.0.remove(id) {
                partition.life.leaving.cancel();
                partition.life.gone.cancel();
                prefixes.extend(partition.offsets.committable().map(|next| (*id, next)));
            }
        }
        prefixes
    }

    /// What may be stored and was not handed out yet.
    pub(crate) fn take_committable(&mut self) -> Vec<(PartitionId, i64)> {
        self.0.iter_mut().filter_map(|(id, p)| p.offsets.take_committable().map(|next| (*id, next))).collect()
    }

    /// All partitions, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PartitionId, &Partition)> {
        self.0.iter().map(|(id, p)| (*id, p))
    }

    /// All partitions with the epoch each is in.
    pub(crate) fn ids(&self) -> Vec<(PartitionId, Epoch)> {
        self.0.iter().map(|(id, p)| (*id, p.epoch)).collect()
    }

    /// Lets nothing start for these partitions, and for others of the same number that wait already, until
    /// [`Partitions::release`] is called with `ticket`. What is open stays open.
    pub(crate) fn hold_for(&mut self, assigned: &[PartitionId], number: i32, ticket: u64) {
        for (id, partition) in self.0.iter_mut().filter(|(id, _)| id.partition == number) {
            if partition.is_opening() || assigned.contains(id) {
                partition.opening = Some(ticket);
            }
        }
    }

    /// Whether a partition waits for this ticket.
    pub(crate) fn awaits(&self, ticket: u64) -> bool {
        self.0.values().any(|p| p.opening == Some(ticket))
    }

    /// Lets records start that wait for this ticket.
    pub(crate) fn release(&mut self, ticket: u64) {
        self.0.values_mut().filter(|p| p.opening == Some(ticket)).for_each(|p| p.opening = None);
    }

    /// Holds back what comes for these partitions, although nothing is held yet. Answers those that were read until now, and
    /// are to be paused.
    pub(crate) fn block(&mut self, these: impl Fn(PartitionId, &Partition) -> bool) -> Vec<PartitionId> {
        let open = self.0.iter_mut().filter(|(id, p)| !p.paused && !p.draining && these(**id, p));
        let block = |(id, partition): (&PartitionId, &mut Partition)| {
            partition.blocked = true;
            partition.paused = true;
            *id
        };
        open.map(block).collect()
    }

    /// Whether a partition holds records back until its ledger is read.
    pub(crate) fn hold_for_ledgers(&self) -> bool {
        self.0.values().any(|p| p.opening.is_some() && !p.held.is_empty())
    }

    /// Partitions that hold records back.
    pub(crate) fn blocked(&self) -> Vec<(PartitionId, Epoch)> {
        self.0.iter().filter(|(_, p)| p.blocked && !p.draining).map(|(id, p)| (*id, p.epoch)).collect()
    }
}
