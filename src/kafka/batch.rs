//! What the consumer thread reads at a time.

use std::time::Duration;

use crate::bridge::Batches;
use crate::bridge::seams::Received;

/// Events looked at for a batch: several times its records. Ends of partitions, statistics and the like come between its records, and commands wait for
/// all of them.
const EVENTS: usize = 256;

/// Longest a poll waits. Bounds how late a command is seen.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// Whether the thread goes on.
#[derive(PartialEq, Eq)]
pub(super) enum Turn {
    Next,
    /// Nothing has come.
    Idle,
    Last,
}

/// Polls until a batch is full or nothing more is there. What is no record ends it only as long as there is none.
pub(super) fn gather(
    batches: Batches,
    held: &mut Vec<Received>,
    mut poll: impl FnMut(&mut Vec<Received>, Duration) -> Turn,
) -> Turn {
    let (mut wait, mut bytes) = (POLL, 0);
    for _ in 0..EVENTS {
        let before = held.len();
        let turn = poll(held, std::mem::take(&mut wait));
        if turn != Turn::Next {
            return turn;
        }
        bytes += held[before..].iter().map(|received| received.record.size()).sum::<usize>();
        if held.is_empty() || batches.is_full(held.len(), bytes) {
            break;
        }
    }
    Turn::Next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::seams::PartitionId;
    use crate::wire::{Headers, Origin, Record};

    fn received() -> Received {
        let origin = Origin { topic: "replies".into(), partition: 3, offset: 0, timestamp_ms: None };
        let record = Record { origin, key: None, value: None, headers: Headers::default() };
        Received { partition: PartitionId { topic: 0, partition: 3 }, epoch: 1, record }
    }

    #[test]
    fn ends_of_partitions_between_records_do_not_end_a_batch() {
        const BATCH: usize = 64;
        let came = |records: &[bool]| {
            let (mut held, mut records) = (Vec::new(), records.iter());
            let turn = gather(Batches::of_replies(32 << 20), &mut held, |held, _| match records.next() {
                Some(record) => {
                    held.extend(record.then(received));
                    Turn::Next
                }
                None => Turn::Idle,
            });
            (turn == Turn::Idle, held.len(), records.len())
        };
        assert_eq!(came(&[true, false, true, false, false, true]), (true, 3, 0));
        assert_eq!(came(&[false, true]), (false, 0, 1), "nothing is in hand: commands are looked at");
        assert_eq!(came(&[true; BATCH + 1]), (false, BATCH, 1));
        let mut ends = vec![false; EVENTS + 5];
        ends[0] = true;
        assert_eq!(came(&ends), (false, 1, 5), "and commands do not wait for ever");
    }
}
