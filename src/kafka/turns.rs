//! Turns: how much of one partition the client is given at a time.
//!
//! An idempotent producer of librdkafka sends nothing more to a partition while five or more records of it await their
//! acknowledgement (`rd_kafka_toppar_producer_serve` compares *records* in flight with `RD_KAFKA_IDEMP_MAX_INFLIGHT`; seen in
//! 2.12.1). What is queued meanwhile and older than `linger.ms` makes its thread wake up at once, again and again: with
//! acknowledgements of 10 ms the CPU of a record doubles (bench `end_to_end`, `HANDBACK_BENCH_RTT_MS=10`). So the client is
//! given what it will send in one batch, and the rest when it has told of that.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::wire::OutRecord;

/// With fewer records in flight than this the client sends at once.
const FEW: usize = 5;

/// What a record takes in a batch beside its key, value and headers; rather too much.
const OVERHEAD: usize = 64;

/// How long each record of a partition is sent by itself after a batch of several was too large: it is tried again within
/// the five seconds that the longest pause between two tries takes.
const ALONE_FOR: Duration = Duration::from_secs(10);

/// The partition of records for which the client chooses one.
const ANY: i32 = -1;

/// A record and whatever its sender wants to know it by.
pub(super) type Waiting = (OutRecord, usize);

/// A partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane(usize);

impl Lane {
    /// For nobody's record.
    pub(super) const NONE: Self = Self((1 << 24) - 1);

    /// Lane and place in one number, for the client to carry along.
    pub(super) fn with(self, place: usize) -> usize {
        self.0 << 40 | place
    }

    /// The two again.
    pub(super) fn parse(number: usize) -> (Self, usize) {
        (Self(number >> 40), number & ((1 << 40) - 1))
    }
}

/// Whose turn it is, for all partitions of one producer.
#[derive(Debug)]
pub(super) struct Turns {
    /// How long the client gathers a batch.
    linger: Duration,
    /// What it puts into one.
    max_bytes: usize,
    lanes: Mutex<Lanes>,
}

#[derive(Debug, Default)]
struct Lanes {
    /// By topic and partition: the lane's place below.
    places: FxHashMap<Arc<str>, FxHashMap<i32, usize>>,
    lanes: Vec<Partition>,
    /// Those whose next turn can begin.
    ready: VecDeque<usize>,
}

#[derive(Debug, Default)]
struct Partition {
    /// Records that the client has and has not told of.
    out: usize,
    /// Bytes given since the turn began.
    bytes: usize,
    /// Until then the client gathers what it is given into one batch.
    until: Option<Instant>,
    /// A turn is being handed over: who comes now would overtake it.
    handing: bool,
    /// Whether the client had more than one record at a time since it last had none.
    batched: bool,
    /// Until then it is given one at a time.
    alone_until: Option<Instant>,
    /// The client chooses the partition: nobody waits for batches.
    any: bool,
    waiting: VecDeque<Waiting>,
}

impl Turns {
    pub(super) fn new(linger: Duration, max_bytes: usize) -> Self {
        Self { linger, max_bytes, lanes: Mutex::default() }
    }

    /// Gives the record back, with its lane, if the client may have it now: it counts as given. Otherwise keeps it for a later
    /// turn.
    pub(super) fn enter(&self, record: OutRecord, place: usize, now: Instant) -> Option<(OutRecord, Lane)> {
        let lanes = &mut *self.lanes();
        let lane = lanes.place(&record.topic, record.partition.unwrap_or(ANY));
        let partition = &mut lanes.lanes[lane];
        let bytes = size(&record);
        if partition.handing || !partition.waiting.is_empty() || !partition.takes(bytes, self.max_bytes, now) {
            partition.waiting.push_back((record, place));
            return None;
        }
        partition.give(1, bytes, now + self.linger);
        Some((record, Lane(lane)))
    }

    /// The client has told of a record, or never took it. True when somebody's turn may have come.
    pub(super) fn told(&self, lane: Lane) -> bool {
        let lanes = &mut *self.lanes();
        if let Some(partition) = lanes.lanes.get_mut(lane.0) {
            partition.out = partition.out.saturating_sub(1);
            lanes.is_next(lane.0);
        }
        !lanes.ready.is_empty()
    }

    /// The next turn: its records count as given. To be followed by [`Self::handed`].
    pub(super) fn next(&self, now: Instant) -> Option<(Lane, Vec<Waiting>)> {
        let lanes = &mut *self.lanes();
        let lane = lanes.ready.pop_front()?;
        let partition = &mut lanes.lanes[lane];
        let (mut count, mut bytes) = (0, 0);
        let alone = partition.goes_alone(now);
        for (record, _) in &partition.waiting {
            let size = size(record);
            if count > 0 && (alone || bytes + size > self.max_bytes) {
                break;
            }
            count += 1;
            bytes += size;
        }
        let turn = partition.waiting.drain(..count).collect();
        partition.bytes = 0;
        partition.until = None;
        partition.give(count, bytes, now + self.linger);
        partition.handing = true;
        Some((Lane(lane), turn))
    }

    /// The client has the turn, but for the `rest`, for which it has no room: the first ones of a later turn.
    pub(super) fn handed(&self, lane: Lane, rest: Vec<Waiting>) {
        let lanes = &mut *self.lanes();
        let partition = &mut lanes.lanes[lane.0];
        partition.handing = false;
        partition.out = partition.out.saturating_sub(rest.len());
        rest.into_iter().rev().for_each(|waiting| partition.waiting.push_front(waiting));
        lanes.is_next(lane.0);
    }

    /// The broker has refused a batch with a record of this lane as too large. True when there was no other record in it;
    /// otherwise those of the lane go alone for a while, so that it is seen which it was.
    pub(super) fn too_large(&self, lane: Lane, now: Instant) -> bool {
        let lanes = &mut *self.lanes();
        let Some(partition) = lanes.lanes.get_mut(lane.0) else { return false };
        if partition.batched {
            partition.alone_until = Some(now + ALONE_FOR);
        }
        !partition.batched
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes().lanes.iter().all(|partition| partition.waiting.is_empty() && !partition.handing)
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn place(&mut self, topic: &Arc<str>, partition: i32) -> usize {
        if let Some(place) = self.places.get(topic).and_then(|places| places.get(&partition)) {
            return *place;
        }
        let place = self.lanes.len();
        self.lanes.push(Partition { any: partition == ANY, ..Partition::default() });
        self.places.entry(Arc::clone(topic)).or_default().insert(partition, place);
        place
    }

    /// Puts a lane among those that are ready, if it is.
    fn is_next(&mut self, lane: usize) {
        let partition = &self.lanes[lane];
        if partition.out == 0 && !partition.handing && !partition.waiting.is_empty() && !self.ready.contains(&lane) {
            self.ready.push_back(lane);
        }
    }
}

impl Partition {
    /// Whether the client would send a record of this size without telling of others first.
    fn takes(&self, bytes: usize, max_bytes: usize, now: Instant) -> bool {
        if self.goes_alone(now) {
            return self.out == 0;
        }
        if self.any {
            return true;
        }
        self.out < FEW || (self.until.is_some_and(|until| now < until) && self.bytes + bytes <= max_bytes)
    }

    fn goes_alone(&self, now: Instant) -> bool {
        self.alone_until.is_some_and(|until| now < until)
    }

    fn give(&mut self, records: usize, bytes: usize, until: Instant) {
        self.batched = self.out > 0 || records > 1;
        if self.out == 0 {
            (self.bytes, self.until) = (0, Some(until));
        }
        self.out += records;
        self.bytes += bytes;
    }
}

/// Bytes in a batch.
pub(super) fn size(record: &OutRecord) -> usize {
    let headers = record.headers.iter().map(|(name, value)| name.as_bytes().len() + value.map_or(0, Bytes::len) + 8);
    let [key, value] = [&record.key, &record.value].map(|bytes| bytes.as_ref().map_or(0, Bytes::len));
    key + value + headers.sum::<usize>() + OVERHEAD
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
