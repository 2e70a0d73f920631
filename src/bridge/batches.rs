//! How much of what was read waits between the consumer and its worker.

/// What is on its way from a consumer to its worker. When a partition is held back all of that may be records of this
/// partition, and the worker keeps them until it goes on: to read them again would take a seek.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// Records in a batch at most.
    pub records: usize,
    /// Batches that wait for the worker at most.
    pub waiting: usize,
    /// Bytes of those, give or take one batch; a batch has as many as make `waiting` of them.
    pub bytes: usize,
}

impl Batches {
    /// Of reply topics, for a worker that holds back `max_held` bytes before it reads nothing more.
    ///
    /// 64 records: more gain nothing measurable, fewer make the hop between two threads visible. 16 batches of them are 25 ms
    /// of a worker at 40,000 records a second, far longer than the consumer takes to notice. A 32nd of the bytes (1 MiB of
    /// 32 MiB): with three batches more ([`Batches::most`]) no partition holds back more than a 26th, and one record in each
    /// of four hands whatever its size. So one that cannot go on never stops the others, and 26 of them may. It is 32
    /// replies of 2 KiB a batch.
    #[must_use]
    pub fn of_replies(max_held: usize) -> Self {
        Self { records: 64, waiting: 16, bytes: max_held / 32 }
    }

    /// Of retry topics, where what is not due is held back and counts for no limit: each partition of each tier holds at most
    /// 24 records, and 112 KiB and a record in each of four hands. That is 21 MiB for 64 partitions and three tiers, and a few
    /// KiB each where replies are small. Where the consumer waits 2 ms when four batches wait, it still reads 8,000 records
    /// a second.
    #[must_use]
    pub const fn of_retries() -> Self {
        Self { records: 4, waiting: 4, bytes: 64 * 1024 }
    }

    /// Bytes of a batch, give or take one record.
    pub(crate) const fn batch_bytes(&self) -> usize {
        self.bytes / self.waiting
    }

    /// Whether a batch is full.
    pub(crate) const fn is_full(&self, records: usize, bytes: usize) -> bool {
        records >= self.records || bytes >= self.batch_bytes()
    }

    /// Bytes on their way at most, and a record in each hand: what waits, the batch that has filled it up, one in the consumer's
    /// hands and one in the worker's.
    #[cfg(test)]
    pub(crate) const fn most(&self) -> usize {
        self.bytes + 3 * self.batch_bytes()
    }
}
