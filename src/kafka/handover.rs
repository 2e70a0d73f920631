//! The way from the consumer thread to its worker: a channel with a bound in bytes.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::bridge::Batches;
use crate::bridge::seams::Received;

/// The consumer's end.
pub(super) struct Handover {
    channel: mpsc::Sender<Vec<Received>>,
    batches: Batches,
    /// Bytes of the last batches that were sent, oldest first: at least of those that still wait.
    sent: VecDeque<usize>,
}

impl Handover {
    /// Both ends.
    pub(super) fn new(batches: Batches) -> (Self, mpsc::Receiver<Vec<Received>>) {
        let (channel, records) = mpsc::channel(batches.waiting);
        (Self { channel, batches, sent: VecDeque::with_capacity(batches.waiting) }, records)
    }

    /// Room for what is read next.
    pub(super) fn batch(&self) -> Vec<Received> {
        Vec::with_capacity(self.batches.records)
    }

    /// What a batch is.
    pub(super) fn batches(&self) -> Batches {
        self.batches
    }

    /// Hands over what is held, and leaves an empty batch.
    ///
    /// # Errors
    /// When as much waits as may, or the worker is gone: `held` is as it was.
    pub(super) fn send(&mut self, held: &mut Vec<Received>) -> Result<(), TrySendError<()>> {
        // Before a place is taken. The worker may take some away meanwhile, which only leaves more room.
        let waiting = self.channel.max_capacity() - self.channel.capacity();
        let place = self.channel.try_reserve()?;
        self.sent.drain(..self.sent.len().saturating_sub(waiting));
        if waiting > 0 && self.sent.iter().sum::<usize>() >= self.batches.bytes {
            return Err(TrySendError::Full(()));
        }
        self.sent.push_back(held.iter().map(|received| received.record.size()).sum());
        place.send(std::mem::replace(held, Vec::with_capacity(self.batches.records)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bridge::seams::PartitionId;
    use crate::wire::{Headers, Origin, Record};

    fn received(size: usize) -> Received {
        let origin = Origin { topic: "replies".into(), partition: 0, offset: 0, timestamp_ms: None };
        let record = Record { origin, key: None, value: Some(Bytes::from(vec![b'x'; size])), headers: Headers::new() };
        Received { partition: PartitionId { topic: 0, partition: 0 }, epoch: 1, record }
    }

    /// Fills the channel with records of a size, as the consumer does. Answers how many bytes it took, with what is held.
    fn fill(handover: &mut Handover, size: usize) -> usize {
        let mut all = 0;
        loop {
            let mut held = vec![received(size)];
            while !handover.batches.is_full(held.len(), held.len() * size) {
                held.push(received(size));
            }
            all += held.len() * size;
            match handover.send(&mut held) {
                Ok(()) => assert!(held.is_empty()),
                Err(error) => {
                    assert!(matches!(error, TrySendError::Full(())) && !held.is_empty());
                    return all;
                }
            }
        }
    }

    #[test]
    fn what_waits_for_the_worker_is_bounded_in_records_and_in_bytes() {
        for batches in [Batches::of_replies(32 << 20), Batches::of_replies(1), Batches::of_retries()] {
            for size in [1, 500, 8_000, 100_000, 1 << 20, 4 << 20] {
                let (mut handover, mut records) = Handover::new(batches);
                let bytes = fill(&mut handover, size);
                // What the worker has in its hands comes on top.
                assert!(
                    bytes <= batches.most() - batches.batch_bytes() + 3 * size,
                    "{bytes} of {size} each: {batches:?}"
                );
                assert!(bytes <= (batches.waiting + 1) * batches.records * size);
                // As the worker takes some, others come.
                let taken = records.try_recv().unwrap();
                assert!(!taken.is_empty() && taken.len() <= batches.records);
                while records.try_recv().is_ok() {}
                handover.send(&mut vec![received(size)]).unwrap();
            }
        }
        let (mut handover, records) = Handover::new(Batches::of_retries());
        drop(records);
        assert_eq!(handover.send(&mut vec![received(1)]), Err(TrySendError::Closed(())));
    }
}
