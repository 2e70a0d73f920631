//! Which offset of a partition may be committed. The only place where one is added to an offset.
//!
//! Records finish in any order; the committed offset passes a record only when it and every earlier one are settled.
//! Offsets on a partition are not dense (transaction markers, compaction), so nothing here waits for "the next number":
//! what may be committed is the lowest unsettled offset, or one past the last record delivered. (Markers behind that one
//! are the consumer's to pass, once all that it has handed on is settled: `kafka/partitions.rs`.)

use std::collections::VecDeque;

/// A delivered record that is not behind the committable offset.
#[derive(Debug)]
struct Delivered {
    offset: i64,
    timestamp_ms: Option<i64>,
    settled: bool,
}

/// The records of one partition, for as long as one assignment lasts.
#[derive(Debug, Default)]
pub struct Offsets {
    /// Ascending by offset. The front is always unsettled.
    window: VecDeque<Delivered>,
    /// One past the highest offset delivered.
    next_to_read: Option<i64>,
    /// What was last handed out for storing, at first the offset where reading began.
    handed_out: Option<i64>,
}

impl Offsets {
    /// A partition of which nothing was delivered yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a delivered record. Answers false, and takes no note, when this offset was delivered before: its
    /// first delivery is still being worked on or is already settled.
    pub fn deliver(&mut self, offset: i64, timestamp_ms: Option<i64>) -> bool {
        if self.next_to_read.is_some_and(|next| offset < next) {
            return false;
        }
        self.handed_out.get_or_insert(offset);
        self.window.push_back(Delivered { offset, timestamp_ms, settled: false });
        self.next_to_read = Some(offset + 1);
        true
    }

    /// Takes note that the outcome of the record at `offset` is durable. Unknown or repeated offsets change nothing.
    pub fn settle(&mut self, offset: i64) {
        if let Ok(at) = self.window.binary_search_by_key(&offset, |d| d.offset) {
            self.window[at].settled = true;
        }
        while self.window.front().is_some_and(|d| d.settled) {
            self.window.pop_front();
        }
    }

    /// The next offset to read if the process ended now: everything below it is settled. `None` before any delivery.
    #[must_use]
    pub fn committable(&self) -> Option<i64> {
        self.window.front().map(|oldest| oldest.offset).or(self.next_to_read)
    }

    /// [`Offsets::committable`], once for each time it moves.
    pub fn take_committable(&mut self) -> Option<i64> {
        let next = self.committable()?;
        (self.handed_out.replace(next) != Some(next)).then_some(next)
    }

    /// Records delivered and not behind the committable offset: how far the partition has run ahead.
    #[must_use]
    pub fn gap(&self) -> usize {
        self.window.len()
    }

    /// Kafka timestamp of the oldest unsettled record, in milliseconds since the epoch.
    #[must_use]
    pub fn oldest_timestamp_ms(&self) -> Option<i64> {
        self.window.front().and_then(|oldest| oldest.timestamp_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offset_never_passes_unfinished_work() {
        let mut offsets = Offsets::new();
        for offset in [10, 11, 12] {
            assert!(offsets.deliver(offset, None));
        }
        offsets.settle(11);
        offsets.settle(12);
        assert_eq!(offsets.take_committable(), None, "10 is not settled");
        offsets.settle(10);
        assert_eq!(offsets.take_committable(), Some(13), "next to read, one past the last record");
        assert_eq!(offsets.take_committable(), None, "handed out once");
    }

    #[test]
    fn gaps_between_offsets_do_not_hold_the_commit() {
        let mut offsets = Offsets::new();
        offsets.deliver(0, None);
        offsets.deliver(6, None);
        offsets.settle(0);
        assert_eq!(offsets.take_committable(), Some(6));
        offsets.settle(6);
        assert_eq!(offsets.take_committable(), Some(7));
    }

    #[test]
    fn a_second_delivery_is_refused() {
        let mut offsets = Offsets::new();
        assert!(offsets.deliver(3, None));
        assert!(!offsets.deliver(3, None));
        offsets.settle(3);
        assert!(!offsets.deliver(3, None), "settled already");
        assert_eq!(offsets.gap(), 0);
    }

    proptest! {
        /// Against the plainest model there is: the set of settled offsets and a scan.
        #[test]
        fn agrees_with_the_model(
            steps in proptest::collection::vec(1i64..4, 1..60),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..120),
        ) {
            let delivered: Vec<i64> = steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
            let mut offsets = Offsets::new();
            let mut settled = BTreeSet::new();
            let mut stored = delivered[0];
            for offset in &delivered {
                prop_assert!(offsets.deliver(*offset, Some(*offset)));
            }
            for index in order {
                let offset = *index.get(&delivered);
                offsets.settle(offset);
                settled.insert(offset);
                let model = delivered.iter().find(|o| !settled.contains(o)).copied().unwrap_or(delivered[delivered.len() - 1] + 1);
                prop_assert_eq!(offsets.committable(), Some(model));
                let taken = offsets.take_committable();
                prop_assert_eq!(taken, (model != stored).then_some(model));
                stored = model;
                let unsettled_from = delivered.iter().filter(|o| **o >= model).count();
                prop_assert_eq!(offsets.gap(), unsettled_from);
            }
        }
    }
}
