//! What is counted and measured. Every name begins with `handback_`.

use std::array;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::dispatch_metrics::DispatchMetrics;
use super::held_metrics::HeldMetrics;
use super::labels::{BreakerGauge, CODES, EngineMethod, FloodGauge, OTHER_CODE, PartitionLabels, gauge_value};
use super::waits::Waits;
use crate::config::MAX_WORKERS;
use crate::wire::OutcomeKind;

/// A healthy call takes 2 to 10 ms, a deadline is 10 s: fine steps around the first, coarse ones up to the second.
const CALL_SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CauseLabels {
    pub(super) cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkerLabels {
    worker: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TopicLabels {
    topic: String,
    worker: u32,
}

/// The handles of one worker.
#[derive(Debug)]
struct WorkerHandles {
    records: Gauge,
    bytes: Gauge,
    breaker: Gauge,
    ledger: Gauge,
    unknown_domain: Gauge,
}

/// All metrics of a process. Share it in an `Arc`; every method takes `&self` and none blocks for long.
///
/// Counters and histograms are reached through handles made once, so that counting an outcome or a call neither
/// formats nor hashes a label.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    outcomes: Family<OutcomeLabels, Counter>,
    /// In the order of [`OutcomeKind::ALL`], which is that of its declaration.
    outcome_handles: [Counter; OutcomeKind::ALL.len()],
    calls: Family<CallLabels, Counter>,
    call_handles: [[OnceLock<Counter>; CODES.len() + 1]; EngineMethod::ALL.len()],
    call_seconds: Family<MethodLabels, Histogram>,
    call_seconds_handles: [OnceLock<Histogram>; EngineMethod::ALL.len()],
    in_flight_records: Family<WorkerLabels, Gauge>,
    in_flight_bytes: Family<WorkerLabels, Gauge>,
    breaker_state: Family<WorkerLabels, Gauge>,
    unknown_domain: Family<WorkerLabels, Gauge>,
    /// One more than there may be: the one that reads the retry topics.
    workers: [OnceLock<WorkerHandles>; MAX_WORKERS + 1],
    lag: Family<PartitionLabels, Gauge>,
    oldest_unsettled: Waits,
    dead_letters: Counter,
    flood_stops: Counter,
    flood_state: Family<TopicLabels, Gauge>,
    produce_retries: Counter,
    late_finishes: Counter,
    commit_failures: Counter,
    pub(super) postponed: Family<CauseLabels, Counter>,
    ledger_hits: Counter,
    ledger_entries: Family<WorkerLabels, Gauge>,
    ledger_missing: Counter,
    ready: Gauge,
    dispatch: DispatchMetrics,
    pub(super) held: HeldMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let outcomes = Family::default();
        // Made at once and not when first counted: a rate over a counter that begins at 1 misses the first.
        let outcome_handles =
            OutcomeKind::ALL.map(|kind| outcomes.get_or_create_owned(&OutcomeLabels { outcome: kind.as_str() }));
        let mut metrics = Self {
            registry: Registry::with_prefix("handback"),
            outcomes,
            outcome_handles,
            calls: Family::default(),
            call_handles: array::from_fn(|_| array::from_fn(|_| OnceLock::new())),
            call_seconds: Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)),
            call_seconds_handles: array::from_fn(|_| OnceLock::new()),
            in_flight_records: Family::default(),
            in_flight_bytes: Family::default(),
            breaker_state: Family::default(),
            unknown_domain: Family::default(),
            workers: array::from_fn(|_| OnceLock::new()),
            lag: Family::default(),
            oldest_unsettled: Waits::default(),
            dead_letters: Counter::default(),
            flood_stops: Counter::default(),
            flood_state: Family::default(),
            produce_retries: Counter::default(),
            late_finishes: Counter::default(),
            commit_failures: Counter::default(),
            postponed: Family::default(),
            ledger_hits: Counter::default(),
            ledger_entries: Family::default(),
            ledger_missing: Counter::default(),
            ready: Gauge::default(),
            dispatch: DispatchMetrics::default(),
            held: HeldMetrics::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // `Counter` appends `_total` to the name, a unit its own name, and the registry a full stop to the text.
    fn register(&mut self) {
        let to = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        to.register("build", "The version that is running", build);
        to.register("ready", "1 when /readyz answers 200, otherwise 0", self.ready.clone());
        let text = "Replies that reached their end, by what became of them";
        to.register("outcomes", text, self.outcomes.clone());
        to.register("engine_calls", "Calls to the engine by method and gRPC status", self.calls.clone());
        let text = "Time from sending a call to the engine's answer";
        to.register_with_unit("engine_call", text, Unit::Seconds, self.call_seconds.clone());
        to.register("in_flight_records", "Records of a worker in calls to the engine", self.in_flight_records.clone());
        let text = "Bytes of the records that a worker has in hand or holds back";
        to.register_with_unit("in_flight", text, Unit::Bytes, self.in_flight_bytes.clone());
        let text = "Records of a partition that are not settled yet: high watermark minus the next offset to commit";
        to.register("lag_records", text, self.lag.clone());
        let text = "How long a partition's oldest unsettled record has waited, whatever keeps it: by its own time once it was \
                    read, and since the partition's settled offset stands still below the high watermark; 0 when there is none";
        to.register_with_unit("oldest_unsettled", text, Unit::Seconds, self.oldest_unsettled.family());
        let text = "The breaker of a worker: 0 closed, 1 probing, 2 open (partitions paused)";
        to.register("breaker_state", text, self.breaker_state.clone());
        let text = "Replies in a worker's hands that wait because the engine does not know their domain";
        to.register("unknown_domain_replies", text, self.unknown_domain.clone());
        to.register("dead_letters", "Records written to the dead-letter topic", self.dead_letters.clone());
        let text = "Stops of a topic because too many of its replies became dead letters";
        to.register("flood_stops", text, self.flood_stops.clone());
        let text = "A topic of a worker: 0 flowing, 1 some replies are tried, 2 stopped by the flood guard (partitions paused)";
        to.register("flood_state", text, self.flood_state.clone());
        let text = "Writes of outcomes and dead letters that failed and were tried again";
        to.register("produce_retries", text, self.produce_retries.clone());
        let text = "Records that were finished after their partition had been given away; they come again elsewhere";
        to.register("late_finishes", text, self.late_finishes.clone());
        let text = "Commits of offsets that failed; they are tried again, unless their partition leaves first";
        to.register("commit_failures", text, self.commit_failures.clone());
        to.register("postponed", "Replies that were moved to a retry topic, by cause", self.postponed.clone());
        let text = "Replies that the ledger recognised as repeats: calls to the engine that were not needed";
        to.register("ledger_hits", text, self.ledger_hits.clone());
        to.register("ledger_entries", "Applied answers that a worker remembers", self.ledger_entries.clone());
        let text = "Partitions that were opened without their whole ledger";
        to.register("ledger_missing", text, self.ledger_missing.clone());
        self.dispatch.register(to);
        self.held.register(to);
    }

    /// The figures of dispatching.
    #[must_use]
    pub fn dispatch(&self) -> &DispatchMetrics {
        &self.dispatch
    }

    /// Everything as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String fails only when a metric's own encoding does, and ours are the library's.
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        text
    }

    /// A reply reached its end and the record of it is durable.
    pub fn outcome(&self, kind: OutcomeKind) {
        self.outcome_handles[kind as usize].inc();
    }

    /// A record was written to the dead-letter topic.
    pub fn dead_letter(&self) {
        self.dead_letters.inc();
    }

    /// A topic was stopped because of its dead letters.
    pub fn flood_stopped(&self) {
        self.flood_stops.inc();
    }

    /// How a topic of worker number `worker` is doing.
    pub fn flood(&self, worker: usize, topic: &str, state: FloodGauge) {
        let Ok(worker) = u32::try_from(worker) else { return };
        self.flood_state.get_or_create(&TopicLabels { topic: topic.to_owned(), worker }).set(state as i64);
    }

    /// The engine answered a call with `code` (a gRPC status name such as `NOT_FOUND`) after `took`.
    pub fn engine_call(&self, method: EngineMethod, code: &'static str, took: Duration) {
        let column = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len());
        let code = CODES.get(column).copied().unwrap_or(OTHER_CODE);
        let labels = || CallLabels { method: method.as_str(), code };
        self.call_handles[method as usize][column].get_or_init(|| self.calls.get_or_create_owned(&labels())).inc();
        let labels = || MethodLabels { method: method.as_str() };
        self.call_seconds_handles[method as usize]
            .get_or_init(|| self.call_seconds.get_or_create_owned(&labels()))
            .observe(took.as_secs_f64());
    }

    /// What worker number `worker` has in hand. Workers beyond [`MAX_WORKERS`] are not shown.
    pub fn in_flight(&self, worker: usize, records: usize, bytes: usize) {
        if let Some(handles) = self.worker(worker) {
            handles.records.set(gauge_value(records));
            handles.bytes.set(gauge_value(bytes));
        }
    }

    /// What the breaker of worker number `worker` is doing.
    pub fn breaker(&self, worker: usize, state: BreakerGauge) {
        if let Some(handles) = self.worker(worker) {
            handles.breaker.set(state as i64);
        }
    }

    /// Replies that worker number `worker` has in hand and whose domain the engine does not know.
    pub fn unknown_domain(&self, worker: usize, replies: usize) {
        if let Some(handles) = self.worker(worker) {
            handles.unknown_domain.set(gauge_value(replies));
        }
    }

    /// How many records of a partition are not settled yet.
    pub fn lag(&self, topic: &str, partition: i32, records: i64) {
        self.lag.get_or_create(&PartitionLabels { topic: topic.to_owned(), partition }).set(records);
    }

    /// How long the oldest record in hand of a partition has waited, in seconds.
    pub fn oldest_unsettled(&self, topic: &str, partition: i32, seconds: f64) {
        self.oldest_unsettled.tell(topic, partition, |told| told.oldest = seconds);
    }

    /// How long a partition has stood still although there is more to read, in seconds.
    pub fn standing(&self, topic: &str, partition: i32, seconds: f64) {
        self.oldest_unsettled.tell(topic, partition, |told| told.still = seconds);
    }

    /// The partition belongs to another member now: its figures are that member's business.
    pub fn forget_partition(&self, topic: &str, partition: i32) {
        let labels = PartitionLabels { topic: topic.to_owned(), partition };
        self.lag.remove(&labels);
        self.oldest_unsettled.forget(&labels);
    }

    /// A record was finished after its partition had been given away.
    pub fn late_finish(&self) {
        self.late_finishes.inc();
    }

    /// Counts a commit of offsets that failed.
    pub fn commit_failed(&self) {
        self.commit_failures.inc();
    }

    /// The ledger recognised a reply as a repeat.
    pub fn ledger_hit(&self) {
        self.ledger_hits.inc();
    }

    /// A partition was opened without its whole ledger.
    pub fn opened_without_ledger(&self) {
        self.ledger_missing.inc();
    }

    /// Applied answers that worker number `worker` remembers.
    pub fn ledger(&self, worker: usize, entries: usize) {
        if let Some(handles) = self.worker(worker) {
            handles.ledger.set(gauge_value(entries));
        }
    }

    /// A write to the log failed and is tried again.
    pub fn produce_retry(&self) {
        self.produce_retries.inc();
    }

    /// Whether the process is ready; set when the metrics are read.
    pub(super) fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    fn worker(&self, number: usize) -> Option<&WorkerHandles> {
        let labels = WorkerLabels { worker: u32::try_from(number).ok()? };
        Some(self.workers.get(number)?.get_or_init(|| WorkerHandles {
            records: self.in_flight_records.get_or_create_owned(&labels),
            bytes: self.in_flight_bytes.get_or_create_owned(&labels),
            breaker: self.breaker_state.get_or_create_owned(&labels),
            ledger: self.ledger_entries.get_or_create_owned(&labels),
            unknown_domain: self.unknown_domain.get_or_create_owned(&labels),
        }))
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
