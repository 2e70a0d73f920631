//! What the Kafka clients tell the process.

use std::sync::Arc;

use crate::admin::{Health, Metrics};
use crate::kafka::{Condition, Observer};

/// Turns what the Kafka clients tell into readiness and metrics.
pub(super) struct Ears {
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
}

impl Observer for Ears {
    fn condition(&self, condition: Condition) {
        match condition {
            Condition::Raised { key, reason } => self.health.raise(&key, reason),
            Condition::Cleared { key } => self.health.clear(&key),
        }
    }

    fn committed(&self, topic: &str, partition: i32, offset: i64) {
        tracing::debug!(topic, partition, offset, "offset committed");
    }

    fn lag(&self, topic: &str, partition: i32, records: i64) {
        self.metrics.lag(topic, partition, records);
    }

    fn left(&self, topic: &str, partition: i32) {
        self.metrics.forget_partition(topic, partition);
    }

    fn not_committed(&self) {
        self.metrics.commit_failed();
    }

    fn late_store(&self) {
        self.metrics.late_finish();
    }
}
