//! Places for activities in hand. A poll takes one before it begins, so that what it brings always has one.

use std::cell::Cell;
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::admin::Metrics;

/// All places, and what is in them.
pub(super) struct Hands {
    places: Semaphore,
    max_bytes: usize,
    tasks: Cell<usize>,
    bytes: Cell<usize>,
    freed: Notify,
    metrics: Arc<Metrics>,
}

/// A place that is still empty.
pub(super) struct Place<'a> {
    hands: &'a Hands,
    _permit: SemaphorePermit<'a>,
}

/// A place with an activity in it.
pub(super) struct InHand<'a> {
    place: Place<'a>,
    bytes: usize,
}

impl Hands {
    pub(super) fn new(max_tasks: usize, max_bytes: usize, metrics: Arc<Metrics>) -> Self {
        let places = Semaphore::new(max_tasks.min(Semaphore::MAX_PERMITS));
        Self { places, max_bytes, tasks: Cell::new(0), bytes: Cell::new(0), freed: Notify::new(), metrics }
    }

    /// Waits for a place, and until the bytes in hand are below their limit: what one more poll brings is not known before.
    pub(super) async fn place(&self) -> Place<'_> {
        let Ok(permit) = self.places.acquire().await else {
            // Nobody closes it.
            return std::future::pending().await;
        };
        loop {
            let freed = self.freed.notified();
            if self.bytes.get() < self.max_bytes {
                return Place { hands: self, _permit: permit };
            }
            freed.await;
        }
    }

    /// Activities in hand.
    pub(super) fn tasks(&self) -> usize {
        self.tasks.get()
    }

    fn set(&self, tasks: usize, bytes: usize) {
        self.tasks.set(tasks);
        self.bytes.set(bytes);
        self.metrics.dispatch().in_hand(tasks);
    }
}

impl<'a> Place<'a> {
    /// Puts an activity of this size in.
    pub(super) fn fill(self, bytes: usize) -> InHand<'a> {
        let hands = self.hands;
        hands.set(hands.tasks.get() + 1, hands.bytes.get() + bytes);
        InHand { place: self, bytes }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let hands = self.place.hands;
        hands.set(hands.tasks.get() - 1, hands.bytes.get() - self.bytes);
        hands.freed.notify_waiters();
    }
}
