//! What the Kafka clients tell the process.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::{Health, Metrics};
use crate::config::Topics;
use crate::kafka::{Condition, Observer};

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

    /// How long a partition has stood still against what is meant: what is not due yet on a retry topic is not late. It is due
    /// after the topic's delay at the latest, also what was read and not taken by the worker; where that knows it to be due
    /// earlier, it says so itself.
    fn late(&self, topic: &str, still: Duration) -> Duration {
        match self.delays.iter().find(|(name, _)| name == topic) {
            None => still,
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

    fn standing(&self, topic: &str, partition: i32, still: Duration) {
        self.metrics.standing(topic, partition, self.late(topic, still).as_secs_f64());
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
    fn what_is_not_due_yet_on_a_retry_topic_is_not_late_and_then_it_is_whoever_has_it() {
        let ears = Ears::new(Arc::new(Health::new()), Arc::new(Metrics::new()), &["retry-5m".to_owned()]);
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(ears.late("replies", minutes(7)), minutes(7));
        assert_eq!(ears.late("retry-5m", minutes(4)), minutes(0));
        assert_eq!(ears.late("retry-5m", minutes(7)), minutes(2));
    }
}
