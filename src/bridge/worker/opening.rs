//! How a partition gets its ledger before it is worked on.
//!
//! What the engine applied is in the outcome topic's partition of the same number. It is read on assignment, from where
//! reading ended the last time; until it is there, or the time is up, the partition's replies are held back. The ledger
//! fails open: without it the engine and its history decide, with a call more.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::Worker;
use crate::bridge::partitions::Hold;
use crate::bridge::seams::{Engine, Log, PartitionId, Piece, ReadBack, Reading, Remembered};

/// A ledger is usually read in less than this. So long nothing more is taken from the consumer once replies wait for it,
/// and their partition is not paused: librdkafka's threads sleep through a resume for up to a second (2.12.1:
/// `rd_kafka_toppar_pause_resume` wakes nobody).
const SOON: std::time::Duration = std::time::Duration::from_millis(500);

/// A ledger that is being read.
pub(super) struct Opening {
    pub(super) ticket: u64,
    partition: i32,
    began: Instant,
    deadline: Instant,
    told: Instant,
}

impl<E: Engine + 'static, L: Log + 'static> Worker<E, L> {
    /// Asks for the ledgers of partitions that have come, and holds their replies back until they are there.
    pub(super) fn ask_ledgers(&mut self, assigned: &[PartitionId]) {
        let Some(bounds) = self.core.options.ledger else { return };
        let numbers: BTreeSet<i32> = assigned.iter().map(|id| id.partition).collect();
        let now = Instant::now();
        for partition in numbers {
            self.last_ticket += 1;
            let ticket = self.last_ticket;
            self.partitions.hold_for(assigned, partition, ticket);
            // Two topics have partitions of the same number: one that waits already does not wait longer for the other.
            let before = self.openings.iter().position(|opening| opening.partition == partition);
            let before = before.map(|at| self.openings.swap_remove(at).deadline);
            let deadline = before.unwrap_or(now + self.core.options.ledger_timeout);
            self.openings.push(Opening { ticket, partition, began: now, deadline, told: now });
            self.core.log.read_back(ReadBack {
                ticket,
                partition,
                from: self.core.ledger.borrow().next(partition),
                since_ms: self.core.clock.present_ms() - i64::from(bounds.max_age_s) * 1000,
                max_records: bounds.max_entries,
            });
        }
    }

    /// Whether a ledger is being read that is probably there soon.
    pub(super) fn opens_soon(&self) -> bool {
        self.openings.iter().any(|opening| opening.began.elapsed() < SOON)
    }

    /// Takes in a piece of a ledger.
    pub(super) fn take_in(&mut self, piece: Piece) {
        let Piece { ticket, partition, entries, next, reading } = piece;
        let clock = &self.core.clock;
        {
            let mut ledger = self.core.ledger.borrow_mut();
            for remembered in &entries {
                let remembered = Remembered { at_ms: clock.steady_of(remembered.at_ms), ..*remembered };
                ledger.remember(partition, &remembered, clock.steady_ms());
            }
            next.inspect(|next| ledger.read_to(partition, *next));
        }
        let Some(at) = self.openings.iter().position(|opening| opening.ticket == ticket) else { return };
        match reading {
            Reading::Left(records) => self.openings[at].tell(records),
            Reading::Done => {
                let Opening { began, .. } = self.openings.swap_remove(at);
                let (took, entries) = (began.elapsed(), self.core.ledger.borrow().len());
                tracing::debug!(partition, ?took, entries, "the ledger is read");
                self.open(ticket);
            }
            Reading::Failed(text) => {
                self.openings.swap_remove(at);
                self.open_without(ticket, partition, &text);
            }
        }
    }

    /// Opens what has waited long enough.
    pub(super) fn open_overdue(&mut self) {
        let now = Instant::now();
        let overdue: Vec<_> = self.openings.extract_if(.., |opening| opening.deadline <= now).collect();
        for Opening { ticket, partition, .. } in overdue {
            self.open_without(ticket, partition, "ledger.load_timeout is over");
        }
    }

    /// Pauses partitions whose ledger takes longer.
    pub(super) fn pause_slow_openings(&mut self) {
        if !self.opens_soon() {
            self.hold_where(Hold::Ledger, |_, partition| partition.blocked && partition.is_opening());
        }
    }

    fn open_without(&mut self, ticket: u64, partition: i32, text: &str) {
        let topic = &self.core.options.outcome_topic;
        tracing::warn!(
            "the ledger of partition {partition} could not be read from {topic}: {text}. Its replies are handled without \
             what is missing: the engine decides about repeats"
        );
        self.core.metrics.opened_without_ledger();
        self.open(ticket);
    }

    fn open(&mut self, ticket: u64) {
        self.partitions.release(ticket);
        self.retry_held();
    }
}

impl Opening {
    /// Shows progress, now and then.
    fn tell(&mut self, left: u64) {
        const EVERY: std::time::Duration = std::time::Duration::from_secs(5);
        if self.told.elapsed() < EVERY {
            return;
        }
        self.told = Instant::now();
        let (partition, took) = (self.partition, self.began.elapsed());
        tracing::info!(partition, left, ?took, "reading the ledger; the partition's replies wait for it");
    }
}
