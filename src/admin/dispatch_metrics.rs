//! What is counted and measured of dispatching. Every name begins with `handback_dispatch_`.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// A healthy produce takes milliseconds, a leader election seconds, a broker that is away minutes.
const PUBLISH_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

/// What became of an activity that was polled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatched {
    /// Its request is in the log, and it is left pending.
    Published,
    /// No route for its type: the attempt was failed.
    NoRoute,
    /// Its request is larger than `dispatch.max_request_bytes`: the attempt was failed.
    TooLarge,
    /// Its request could not be written in time: the attempt was failed.
    NotPublished,
    /// Its attempt was over before the request could be written: its workflow has ended, or a timeout was quicker.
    Gone,
    /// It should have been failed, and the engine did not take that: its timeout ends the attempt.
    Left,
}

impl Dispatched {
    /// Every one, in the order of declaration.
    pub const ALL: [Self; 6] =
        [Self::Published, Self::NoRoute, Self::TooLarge, Self::NotPublished, Self::Gone, Self::Left];

    /// Its name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::NoRoute => "no_route",
            Self::TooLarge => "too_large",
            Self::NotPublished => "not_published",
            Self::Gone => "gone",
            Self::Left => "left",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    result: &'static str,
}

/// The figures of dispatching; shown as zeros by a process that only runs the bridge.
#[derive(Debug)]
pub struct DispatchMetrics {
    tasks: Family<TaskLabels, Counter>,
    /// In the order of [`Dispatched::ALL`], which is that of its declaration.
    handles: [Counter; Dispatched::ALL.len()],
    in_hand: Gauge,
    produce_retries: Counter,
    publish: Histogram,
}

impl Default for DispatchMetrics {
    fn default() -> Self {
        let tasks = Family::default();
        // Made at once: a rate over a counter that begins at 1 misses the first.
        let handles = Dispatched::ALL.map(|result| tasks.get_or_create_owned(&TaskLabels { result: result.as_str() }));
        Self {
            tasks,
            handles,
            in_hand: Gauge::default(),
            produce_retries: Counter::default(),
            publish: Histogram::new(PUBLISH_SECONDS),
        }
    }
}

impl DispatchMetrics {
    pub(super) fn register(&self, to: &mut Registry) {
        let text = "Activities that were polled for, by what became of them";
        to.register("dispatch_tasks", text, self.tasks.clone());
        let text = "Activities in hand: polled for, and neither published nor failed yet";
        to.register("dispatch_in_hand", text, self.in_hand.clone());
        let text = "Writes of requests that failed and were tried again; the request may be in the log twice";
        to.register("dispatch_produce_retries", text, self.produce_retries.clone());
        let text = "Time from the end of a poll until all in-sync replicas have the request";
        to.register_with_unit("dispatch_publish", text, Unit::Seconds, self.publish.clone());
    }

    /// An activity is in hand no more.
    pub fn ended(&self, result: Dispatched) {
        self.handles[result as usize].inc();
    }

    /// A request became durable this long after its activity was polled for.
    pub fn published(&self, took: Duration) {
        self.publish.observe(took.as_secs_f64());
    }

    /// How many activities are in hand.
    pub fn in_hand(&self, activities: usize) {
        self.in_hand.set(i64::try_from(activities).unwrap_or(i64::MAX));
    }

    /// A write of a request failed and is tried again.
    pub fn produce_retry(&self) {
        self.produce_retries.inc();
    }
}
