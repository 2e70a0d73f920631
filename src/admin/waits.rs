//! How long the oldest unsettled record of each partition waits: the larger of two ways to tell.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::labels::PartitionLabels;

/// One gauge for each partition, fed by the worker and by the consumer.
#[derive(Debug, Default)]
pub(super) struct Waits {
    shown: Family<PartitionLabels, Gauge<f64, AtomicU64>>,
    told: Mutex<HashMap<PartitionLabels, Told>>,
}

/// In seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Age of the oldest record that was read, by its own time.
    pub(super) oldest: f64,
    /// Since the settled offset stands still with more behind it.
    pub(super) still: f64,
}

impl Waits {
    pub(super) fn family(&self) -> Family<PartitionLabels, Gauge<f64, AtomicU64>> {
        self.shown.clone()
    }

    pub(super) fn tell(&self, topic: &str, partition: i32, tell: impl FnOnce(&mut Told)) {
        let labels = PartitionLabels { topic: topic.to_owned(), partition };
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.entry(labels.clone()).or_default();
        tell(told);
        self.shown.get_or_create(&labels).set(told.oldest.max(told.still));
    }

    pub(super) fn forget(&self, labels: &PartitionLabels) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(labels);
        self.shown.remove(labels);
    }
}
