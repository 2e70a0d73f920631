//! The partitions that are ours at the moment, each with its offsets, its backlog and the token that ends its work.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::look::Queue;
use super::offsets::Offsets;
use super::seams::{Epoch, PartitionId, Received};
use super::windows::Share;

/// A record that came to the worker and was not taken up yet.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) received: Received,
    /// When it came, in milliseconds since the epoch, as the wall clock showed it.
    pub(crate) at_ms: i64,
    /// The same by the steady clock.
    pub(crate) steady_ms: i64,
}

/// Why what comes of a partition is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Its ledger is being read.
    Ledger,
    /// It is as far ahead of its oldest unsettled record as it may be.
    Ahead,
    /// Its topic is stopped or tried by the flood guard.
    Flood,
    /// Its next record stands on a retry topic and is not due.
    NotDue,
    /// As many replies as may wait for another one of their activity, and none can leave.
    Lane,
    /// As many of its replies ask the engine as may, most of them for a look.
    Asking,
    /// As many of its records are being written as may be.
    Writing,
    /// Its records take as many bytes as they may.
    Bytes,
}

impl Hold {
    /// All of them, in the order of their declaration.
    pub(crate) const ALL: [Self; 8] =
        [Self::Ledger, Self::Ahead, Self::Flood, Self::NotDue, Self::Lane, Self::Asking, Self::Writing, Self::Bytes];

    /// Short name, for metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Ahead => "ahead",
            Self::Flood => "flood",
            Self::NotDue => "not_due",
            Self::Lane => "lane",
            Self::Asking => "asking",
            Self::Writing => "writing",
            Self::Bytes => "bytes",
        }
    }

    /// Whether it is usually over in a moment, as writes are acknowledged.
    pub(crate) const fn is_short(self) -> bool {
        matches!(self, Self::Writing | Self::Bytes)
    }
}

/// Records that are held back, with the bytes that they take over all partitions.
#[derive(Debug)]
pub(crate) struct Held {
    records: VecDeque<Delivered>,
    bytes: usize,
    all: Rc<Cell<usize>>,
}

impl Held {
    fn new(all: &Rc<Cell<usize>>) -> Self {
        Self { records: VecDeque::new(), bytes: 0, all: Rc::clone(all) }
    }

    pub(crate) fn push_back(&mut self, delivered: Delivered) {
        self.count(self.bytes + delivered.received.record.size());
        self.records.push_back(delivered);
    }

    pub(crate) fn push_front(&mut self, delivered: Delivered) {
        self.count(self.bytes + delivered.received.record.size());
        self.records.push_front(delivered);
    }

    pub(crate) fn pop_front(&mut self) -> Option<Delivered> {
        let delivered = self.records.pop_front()?;
        self.count(self.bytes - delivered.received.record.size());
        Some(delivered)
    }

    pub(crate) fn front(&self) -> Option<&Delivered> {
        self.records.front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn clear(&mut self) {
        self.records.clear();
        self.count(0);
    }

    fn count(&mut self, bytes: usize) {
        self.all.set(self.all.get() - self.bytes + bytes);
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count(0);
    }
}

/// One partition for as long as one assignment lasts.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) epoch: Epoch,
    pub(crate) offsets: Offsets,
    pub(crate) life: Rc<Life>,
    /// Delivered records that may not start yet: the partition is too far ahead, a lane is full, its topic is stopped, or they
    /// are not due.
    pub(crate) held: Held,
    /// Whether what comes is held back.
    pub(crate) blocked: bool,
    /// Why, the last time that it was tried, and since when.
    pub(crate) hold: Option<(Hold, Instant)>,
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
    /// What its records have of the worker's windows.
    pub(crate) share: Share,
    /// Its place in the queue for looks.
    pub(crate) queue: Queue,
}

/// All partitions of one worker.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    table: FxHashMap<PartitionId, Partition>,
    held_bytes: Rc<Cell<usize>>,
}

impl Partitions {
    /// Takes partitions in. None of them is here under an earlier epoch.
    pub(crate) fn assign(&mut self, assigned: Vec<(PartitionId, Epoch)>) {
        for (id, epoch) in assigned {
            let fresh = Partition {
                epoch,
                offsets: Offsets::new(),
                life: Rc::default(),
                held: Held::new(&self.held_bytes),
                blocked: false,
                hold: None,
                paused: false,
                started: 0,
                draining: false,
                opening: None,
            };
            self.table.insert(id, fresh);
        }
    }

    /// The partition, if this epoch of it is ours and it is not leaving.
    pub(crate) fn open(&mut self, id: PartitionId, epoch: Epoch) -> Option<&mut Partition> {
        self.current(id, epoch).filter(|p| !p.draining)
    }

    /// The partition, if this epoch of it is ours, leaving or not.
    pub(crate) fn current(&mut self, id: PartitionId, epoch: Epoch) -> Option<&mut Partition> {
        self.table.get_mut(&id).filter(|p| p.epoch == epoch)
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
            if let Some(partition) = self.table.remove(id) {
                partition.life.leaving.cancel();
                partition.life.gone.cancel();
                prefixes.extend(partition.offsets.committable().map(|next| (*id, next)));
            }
        }
        prefixes
    }

    /// What may be stored and was not handed out yet.
    pub(crate) fn take_committable(&mut self) -> Vec<(PartitionId, i64)> {
        self.table.iter_mut().filter_map(|(id, p)| p.offsets.take_committable().map(|next| (*id, next))).collect()
    }

    /// All partitions, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PartitionId, &Partition)> {
        self.table.iter().map(|(id, p)| (*id, p))
    }

    /// All partitions with the epoch each is in.
    pub(crate) fn ids(&self) -> Vec<(PartitionId, Epoch)> {
        self.table.iter().map(|(id, p)| (*id, p.epoch)).collect()
    }

    /// Lets nothing start for these partitions, and for others of the same number that wait already, until
    /// [`Partitions::release`] is called with `ticket`. What is open stays open.
    pub(crate) fn hold_for(&mut self, assigned: &[PartitionId], number: i32, ticket: u64) {
        for (id, partition) in self.table.iter_mut().filter(|(id, _)| id.partition == number) {
            if partition.is_opening() || assigned.contains(id) {
                partition.opening = Some(ticket);
            }
        }
    }

    /// Whether a partition waits for this ticket.
    pub(crate) fn awaits(&self, ticket: u64) -> bool {
        self.table.values().any(|p| p.opening == Some(ticket))
    }

    /// Lets records start that wait for this ticket.
    pub(crate) fn release(&mut self, ticket: u64) {
        self.table.values_mut().filter(|p| p.opening == Some(ticket)).for_each(|p| p.opening = None);
    }

    /// Holds back what comes for these partitions, although nothing is held yet. Answers those that were read until now, and
    /// are to be paused.
    pub(crate) fn block(&mut self, hold: Hold, these: impl Fn(PartitionId, &Partition) -> bool) -> Vec<PartitionId> {
        let now = Instant::now();
        let open = self.table.iter_mut().filter(|(id, p)| !p.paused && !p.draining && these(**id, p));
        let block = |(id, partition): (&PartitionId, &mut Partition)| {
            partition.blocked = true;
            partition.hold.get_or_insert((hold, now));
            partition.paused = true;
            *id
        };
        open.map(block).collect()
    }

    /// Whether a partition holds records back until its ledger is read.
    pub(crate) fn hold_for_ledgers(&self) -> bool {
        self.table.values().any(|p| p.opening.is_some() && !p.held.is_empty())
    }

    /// Bytes of the records that are held back.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes.get()
    }

    /// The same without those that only wait to be due.
    pub(crate) fn stuck_bytes(&self) -> usize {
        let is_stuck = |p: &&Partition| p.hold.is_none_or(|(hold, _)| hold != Hold::NotDue);
        self.table.values().filter(is_stuck).map(|p| p.held.bytes).sum()
    }

    /// How many partitions are held back for each reason, in the order of [`Hold::ALL`].
    pub(crate) fn holds(&self) -> [usize; Hold::ALL.len()] {
        let mut count = [0; Hold::ALL.len()];
        for (hold, _) in self.table.values().filter(|p| p.blocked).filter_map(|p| p.hold) {
            count[hold as usize] += 1;
        }
        count
    }

    /// Partitions that hold records back.
    pub(crate) fn blocked(&self) -> Vec<(PartitionId, Epoch)> {
        self.table.iter().filter(|(_, p)| p.blocked && !p.draining).map(|(id, p)| (*id, p.epoch)).collect()
    }
}
