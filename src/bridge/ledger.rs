//! What the engine applied lately, by partition: answers a repeat without a call, and tells a repeat from a contradiction.
//! A fast path and nothing else: what it does not know, the engine and its history decide. Pure; time is an argument.

use std::collections::VecDeque;

use hashbrown::HashTable;
use rustc_hash::FxHashMap;

use super::seams::Remembered;
use crate::wire::{Fingerprint, LedgerEntry};

/// How much is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Seconds after which an entry counts no more.
    pub max_age_s: u32,
    /// Entries of one partition.
    pub max_entries: usize,
    /// Entries of all partitions.
    pub max_total: usize,
}

/// What the ledger knows of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: the engine decides.
    No,
    /// This very record was applied: it is delivered once more.
    SameRecord,
    /// The same answer was applied before, brought by this record.
    SameAnswer(Source),
    /// Another answer was applied before.
    OtherAnswer(Source, Fingerprint),
}

/// The record that brought an applied answer; its partition is the one that was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Index of its topic in `topics.replies`; `None` for a topic that is not read any more.
    pub topic: Option<u16>,
    /// Its offset.
    pub offset: i64,
}

/// Topic of an entry whose reply topic is not read any more.
const OTHER_TOPIC: u64 = 0xffff;

/// Offsets share eight bytes with the topic. A partition gets there after nine years at a million records a second.
const MAX_OFFSET: i64 = (1 << 48) - 1;

/// Entries of a piece of memory: large enough to cost nothing, small enough that a quiet partition holds 13 KiB.
const CHUNK: usize = 256;

/// One entry, 52 bytes. Bytes and not numbers, which would be aligned to eight.
#[derive(Clone, Copy, Debug)]
struct Slot {
    target: [u8; 16],
    fingerprint: [u8; 16],
    idempotency_key: [u8; 8],
    /// Topic in the upper 16 bits, offset in the lower 48.
    source: [u8; 8],
    /// Seconds since the epoch.
    at: u32,
}

impl Slot {
    fn new(remembered: &Remembered) -> Option<Self> {
        let Remembered { entry, topic, at_ms } = *remembered;
        let offset = u64::try_from(entry.offset).ok().filter(|_| entry.offset <= MAX_OFFSET)?;
        let topic = topic.map_or(OTHER_TOPIC, u64::from);
        Some(Self {
            target: entry.target,
            fingerprint: *entry.fingerprint.bytes(),
            idempotency_key: entry.idempotency_key.unwrap_or(0).to_ne_bytes(),
            source: (topic << 48 | offset).to_ne_bytes(),
            at: seconds(at_ms),
        })
    }

    fn source(&self) -> Source {
        let both = u64::from_ne_bytes(self.source);
        let topic = u16::try_from(both >> 48).ok().filter(|topic| u64::from(*topic) != OTHER_TOPIC);
        Source { topic, offset: (both & MAX_OFFSET.unsigned_abs()).cast_signed() }
    }

    fn idempotency_key(&self) -> Option<u64> {
        Some(u64::from_ne_bytes(self.idempotency_key)).filter(|key| *key != 0)
    }
}

/// Seconds since the epoch, of milliseconds.
fn seconds(ms: i64) -> u32 {
    u32::try_from(ms / 1000).unwrap_or(if ms < 0 { 0 } else { u32::MAX })
}

/// The target is a hash already.
fn hash(target: &[u8; 16]) -> u64 {
    target[..8].try_into().map_or(0, u64::from_ne_bytes)
}

/// One partition's entries, oldest first, each once.
#[derive(Debug, Default)]
struct Partition {
    chunks: VecDeque<Vec<Slot>>,
    /// Entries gone from the first chunk.
    gone: usize,
    /// Number of the oldest entry; numbers wrap.
    first: u32,
    /// Numbers of entries, by target.
    index: HashTable<u32>,
    /// Where reading the outcome topic goes on.
    next: Option<i64>,
}

impl Partition {
    fn len(&self) -> usize {
        self.index.len()
    }

    fn find(&self, target: &[u8; 16]) -> Option<&Slot> {
        let number = self.index.find(hash(target), |number| self.slot(*number).target == *target)?;
        Some(self.slot(*number))
    }

    fn slot(&self, number: u32) -> &Slot {
        at(&self.chunks, self.gone, self.first, number)
    }

    fn push(&mut self, slot: Slot) {
        #[expect(clippy::cast_possible_truncation, reason = "fewer than 2^32 entries at a time; the numbers wrap")]
        let number = self.first.wrapping_add(self.len() as u32);
        match self.chunks.back_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(slot),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(slot);
                self.chunks.push_back(chunk);
            }
        }
        let Self { chunks, gone, first, index, .. } = self;
        index.insert_unique(hash(&slot.target), number, |other| hash(&at(chunks, *gone, *first, *other).target));
    }

    /// Drops the oldest entry.
    fn pop(&mut self) {
        let Some(oldest) = self.chunks.front().and_then(|chunk| chunk.get(self.gone)) else { return };
        if let Ok(found) = self.index.find_entry(hash(&oldest.target), |number| *number == self.first) {
            found.remove();
        }
        self.first = self.first.wrapping_add(1);
        self.gone += 1;
        if self.chunks.front().is_some_and(|chunk| self.gone == chunk.len()) {
            self.chunks.pop_front();
            self.gone = 0;
        }
    }

    fn oldest(&self) -> Option<u32> {
        self.chunks.front().and_then(|chunk| chunk.get(self.gone)).map(|slot| slot.at)
    }

    fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Slot>() + self.index.allocation_size()
    }
}

/// The entry with a number. All chunks but the last are full.
fn at(chunks: &VecDeque<Vec<Slot>>, gone: usize, first: u32, number: u32) -> &Slot {
    let place = gone + number.wrapping_sub(first) as usize;
    &chunks[place / CHUNK][place % CHUNK]
}

/// The ledger of one worker.
#[derive(Debug)]
pub struct Ledger {
    partitions: FxHashMap<i32, Partition>,
    bounds: Bounds,
    entries: usize,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { partitions: FxHashMap::default(), bounds, entries: 0 }
    }

    /// What is known of a reply that stands on `topic` (index in `topics.replies`) and this partition. `entry` is what it
    /// would leave.
    #[must_use]
    pub fn ask(&self, partition: i32, topic: u16, entry: &LedgerEntry, now_ms: i64) -> Known {
        let known = self.partitions.get(&partition).and_then(|entries| entries.find(&entry.target));
        let Some(known) = known.filter(|slot| !self.is_over(slot.at, now_ms)) else { return Known::No };
        let source = known.source();
        let fingerprint = Fingerprint::from_bytes(known.fingerprint);
        let place = Source { topic: Some(topic), offset: entry.offset };
        // A topic that was made anew has other records in the same places.
        if source == place && fingerprint == entry.fingerprint && known.idempotency_key() == entry.idempotency_key {
            return Known::SameRecord;
        }
        let same = match (known.idempotency_key(), entry.idempotency_key) {
            (Some(known), Some(given)) => known == given,
            _ => fingerprint == entry.fingerprint,
        };
        if same { Known::SameAnswer(source) } else { Known::OtherAnswer(source, fingerprint) }
    }

    /// Takes note of what was applied. The first entry of a target stays: it is what the engine accepted.
    pub fn remember(&mut self, partition: i32, remembered: &Remembered, now_ms: i64) {
        let Some(slot) = Slot::new(remembered).filter(|slot| !self.is_over(slot.at, now_ms)) else { return };
        let max = self.bounds.max_entries;
        let entries = self.partitions.entry(partition).or_default();
        match entries.find(&slot.target) {
            Some(known) if !is_over(self.bounds, known.at, now_ms) => return,
            // What a target had so long ago may still be in the way of newer ones; it makes room for all behind it.
            Some(_) => {
                while entries.find(&slot.target).is_some() {
                    entries.pop();
                    self.entries -= 1;
                }
            }
            None => {}
        }
        if entries.len() >= max {
            entries.pop();
            self.entries -= 1;
        }
        entries.push(slot);
        self.entries += 1;
        if self.entries > self.bounds.max_total {
            self.shrink();
        }
    }

    /// Takes note of how far the outcome topic was read for a partition: the next offset.
    pub fn read_to(&mut self, partition: i32, next: i64) {
        self.partitions.entry(partition).or_default().next = Some(next);
    }

    /// Where reading the outcome topic goes on for a partition; `None` when nothing of it was read.
    #[must_use]
    pub fn next(&self, partition: i32) -> Option<i64> {
        self.partitions.get(&partition).and_then(|entries| entries.next)
    }

    /// Drops what is too old.
    pub fn expire(&mut self, now_ms: i64) {
        for entries in self.partitions.values_mut() {
            while entries.oldest().is_some_and(|oldest| is_over(self.bounds, oldest, now_ms)) {
                entries.pop();
                self.entries -= 1;
            }
        }
    }

    /// Entries of all partitions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes of memory that the entries take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.partitions.values().map(Partition::bytes).sum()
    }

    /// Makes room in the largest partition, a chunk at a time so that it is not looked for at every entry.
    fn shrink(&mut self) {
        if let Some(largest) = self.partitions.values_mut().max_by_key(|entries| entries.len()) {
            let drop = CHUNK.min(largest.len());
            (0..drop).for_each(|_| largest.pop());
            self.entries -= drop;
        }
    }

    fn is_over(&self, at: u32, now_ms: i64) -> bool {
        is_over(self.bounds, at, now_ms)
    }
}

fn is_over(bounds: Bounds, at: u32, now_ms: i64) -> bool {
    at.saturating_add(bounds.max_age_s) < seconds(now_ms)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
