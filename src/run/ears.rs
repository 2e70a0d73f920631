//! What the Kafka clients tell the process.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::{Health, Metrics};
use crate::config::Topics;
use crate::kafka::{Condition, Observer, Standing};

/// Turns what the Kafka clients tell into readiness and metrics.
pub(super) struct Ears {
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    /// The retry topics, each with how long its records wait there.
    pub(super) delays: Vec<(String, Duration)>,
}

impl Ears {
    pub(super) fn new(health: Arc<Health>, metrics: Arc<Metrics>, retry: &[String]) -> Self {
        let delays = retry.iter().filter_map(|name| Some((name.clone(), Topics::delay_of(name)?))).collect();
        Self { health, metrics, delays }
    }

    /// How long a partition has stood still against what is meant: what is not due yet on a retry topic is not late. Of what was
    /// delivered there the worker knows when it is due; what was not is due after the topic's delay at the latest.
    fn late(&self, topic: &str, Standing { still, in_hand }: Standing) -> Duration {
        match self.delays.iter().find(|(name, _)| name == topic) {
            None => still,
            Some(_) if in_hand => Duration::ZERO,
            Some((_, delay)) => still.saturating_sub(*delay),
        }
    }
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

    fn standing(&self, topic: &str, partition: i32, standing: Standing) {
        self.metrics.standing(topic, partition, self.late(topic, standing).as_secs_f64());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_due_yet_on_a_retry_topic_is_not_late() {
        let ears = Ears::new(Arc::new(Health::new()), Arc::new(Metrics::new()), &["retry-5m".to_owned()]);
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let late = |topic, still, in_hand| ears.late(topic, Standing { still: minutes(still), in_hand });
        assert_eq!(late("replies", 7, true), minutes(7));
        assert_eq!(late("replies", 7, false), minutes(7));
        assert_eq!(late("retry-5m", 4, false), minutes(0));
        assert_eq!(late("retry-5m", 7, false), minutes(2));
        assert_eq!(late("retry-5m", 7, true), minutes(0), "the worker says when that is due");
    }
}
