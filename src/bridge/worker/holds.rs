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
        let (bytes, most) = (self.partitions.held_bytes(), options.max_in_flight_bytes);
        if bytes < most {
            return self.core.unready.clear(HELD);
        }
        self.core.unready.raise(
            HELD,
            format!(
                "{bytes} bytes of records that cannot go on yet are held back, of {most} allowed: nothing more is read until some \
                 can. handback_held_partitions says what they wait for; raise bridge.max_in_flight_bytes if they only wait to \
                 be due"
            ),
        );
    }
}
