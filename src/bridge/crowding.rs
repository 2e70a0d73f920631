//! Lanes in which more replies wait than should: there nobody waits in place. What waits for the engine or for an activity makes
//! its next try, leaves for a retry topic as if its tries in place were spent, and those behind it follow in their order.

use std::time::Duration;

use super::core::Core;
use super::seams::{Engine, Log};
use super::work::Work;

impl<E: Engine, L: Log> Core<E, L> {
    /// More wait in this lane than should.
    pub(crate) fn crowd(&self, lane: u64) {
        if self.crowded.borrow_mut().insert(lane) {
            self.crowding.notify_waiters();
        }
    }

    /// No more wait in this lane than may.
    pub(crate) fn no_longer_crowded(&self, lane: u64) {
        self.crowded.borrow_mut().remove(&lane);
    }

    /// Whether more wait in any lane than should.
    pub(crate) fn any_crowded(&self) -> bool {
        !self.crowded.borrow().is_empty()
    }

    /// Whether a record must not wait in place, because too many wait behind it, and can leave.
    pub(crate) fn hurries(&self, work: &Work) -> bool {
        self.is_crowded(work) && !work.is_heartbeat() && self.may_spill()
    }

    /// Waits before another try for a record, or until so many wait behind it that it had better be made now.
    pub(crate) async fn pause(&self, work: &Work, delay: Duration) {
        let sleep = tokio::time::sleep(delay);
        // What has made that try and waits all the same has nowhere to go.
        if self.is_crowded(work) {
            return sleep.await;
        }
        tokio::select! {
            biased;
            () = sleep => {}
            () = self.crowded_behind(work) => {}
        }
    }

    async fn crowded_behind(&self, work: &Work) {
        loop {
            // Made before the look, so that nothing is missed in between: there is no await between the two.
            let crowding = self.crowding.notified();
            if self.is_crowded(work) {
                return;
            }
            crowding.await;
        }
    }

    fn is_crowded(&self, work: &Work) -> bool {
        work.lane.is_some_and(|lane| self.crowded.borrow().contains(&lane))
    }
}
