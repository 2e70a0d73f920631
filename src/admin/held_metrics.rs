//! Partitions that are not read on at the moment, and replies that wait elsewhere, by what they wait for.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::{CauseLabels, Metrics};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    worker: u32,
    reason: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct HeldMetrics(Family<Labels, Gauge>);

impl HeldMetrics {
    pub(super) fn register(&self, to: &mut Registry) {
        let text = "Partitions of a worker of which nothing more is taken up at present, by what they wait for";
        to.register("held_partitions", text, self.0.clone());
    }
}

impl Metrics {
    /// How many partitions of worker number `worker` wait for this reason.
    pub fn held(&self, worker: usize, reason: &'static str, partitions: usize) {
        let Ok(worker) = u32::try_from(worker) else { return };
        let partitions = i64::try_from(partitions).unwrap_or(i64::MAX);
        self.held.0.get_or_create(&Labels { worker, reason }).set(partitions);
    }

    /// Replies may be moved to a retry topic for this cause: it is shown before it happens, so that the first one counts
    /// in a rate.
    pub fn may_postpone(&self, cause: &'static str) {
        let _ = self.postponed.get_or_create(&CauseLabels { cause });
    }

    /// A reply was moved to a retry topic.
    pub fn postponed(&self, cause: &'static str) {
        self.postponed.get_or_create(&CauseLabels { cause }).inc();
    }
}
