//! What is said of partitions that are held back.

use super::Worker;
use crate::bridge::partitions::Hold;
use crate::bridge::seams::{Engine, Log};

/// Key under which too many bytes held back are a reason to be unready.
const HELD: &str = "held";

impl<E: Engine + 'static, L: Log + 'static> Worker<E, L> {
    /// Shows how many partitions wait for what, and whether nothing is read any more because of them.
    pub(super) fn report_holds(&self) {
        let options = &self.core.options;
        for (hold, partitions) in Hold::ALL.into_iter().zip(self.partitions.holds()) {
            self.core.metrics.held(options.worker, hold.as_str(), partitions);
        }
        if !self.holds_too_much() {
            return self.core.unready.clear(HELD);
        }
        let (bytes, most) = (self.partitions.stuck_bytes(), options.max_in_flight_bytes);
        self.core.unready.raise(
            HELD,
            format!(
                "{bytes} bytes of records that cannot go on yet are held back, of {most} allowed: nothing more is read until some \
                 can. handback_held_partitions says what they wait for"
            ),
        );
    }

    /// Whether so much is held back that nothing more is read. What waits to be due is no reason: only time ends that, and
    /// [`Batches::of_retries`](crate::bridge::Batches::of_retries) bounds it.
    pub(super) fn holds_too_much(&self) -> bool {
        let most = self.core.options.max_in_flight_bytes;
        // The first sum is at hand, and seldom as large.
        self.partitions.held_bytes() >= most && self.partitions.stuck_bytes() >= most
    }
}
