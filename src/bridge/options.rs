//! The settings of a worker in the form the core uses them.

use std::sync::Arc;
use std::time::Duration;

use super::batches::Batches;
use super::sight::Reach;
use super::tiers::Tier;
use super::{breaker, flood, ledger, look, retry};
use crate::config::{self, DeadLetters, Settings, Topics};
use crate::wire::Limits;

/// Which kind of topics a worker reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The reply topics.
    Replies,
    /// The retry topics: records wait there until they are due, and skip the ledger.
    Retries,
}

/// What one worker is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of this worker, from 0.
    pub worker: usize,
    /// Which kind of topics it reads.
    pub reads: Reads,
    /// Limits of each reply topic, in the order of `topics.replies`.
    pub limits: Vec<Limits>,
    /// Names of the reply topics, in the same order.
    pub reply_topics: Vec<String>,
    /// The retry topics, shortest delay first; without any nothing leaves for one.
    pub tiers: Vec<Tier>,
    /// How long a reply may wait on retry topics for what is not its own fault.
    pub max_parked: Duration,
    /// Topic of the outcomes.
    pub outcome_topic: Arc<str>,
    /// Topic of the dead letters.
    pub dead_letter_topic: Arc<str>,
    /// Which optional outcomes become dead letters too.
    pub dead_letters: DeadLetters,
    /// Allow-list of domain names; empty allows all.
    pub domains: Vec<String>,
    /// Id of the Kafka cluster, part of every call's identity.
    pub cluster_id: Arc<str>,
    /// Keys the token fingerprints in dead letters.
    pub token_print_key: String,
    /// Seed of jitter and probe ids.
    pub seed: u64,
    /// In-place retry.
    pub retry: retry::Policy,
    /// The limits of looking into workflows.
    pub lookup: look::Policy,
    /// When the breaker opens.
    pub breaker: breaker::Policy,
    /// When a topic is stopped because of its dead letters; `None` for never.
    pub flood: Option<flood::Policy>,
    /// Pause between probes.
    pub probe_interval: Duration,
    /// Records in calls.
    pub max_in_flight: usize,
    /// Bytes in hand.
    pub max_in_flight_bytes: usize,
    /// Records whose outcome is being written.
    pub max_recording: usize,
    /// Records a partition may run ahead of its oldest unsettled one.
    pub max_gap: usize,
    /// Records of one activity that may wait behind the one being worked on.
    pub max_lane_depth: usize,
    /// How long work in hand may take to finish at a stop.
    pub drain_timeout: Duration,
    /// The same when partitions are revoked.
    pub revoke_timeout: Duration,
    /// How often offsets are handed to the consumer.
    pub offset_interval: Duration,
    /// What is remembered of applied answers; `None` for nothing.
    pub ledger: Option<ledger::Bounds>,
    /// Whether outcomes carry what a ledger remembers.
    pub ledger_entries: bool,
    /// How long a partition waits for its ledger to be read.
    pub ledger_timeout: Duration,
}

impl Options {
    /// The options of worker number `worker`. `cluster_id` is Kafka's; `seed` makes jitter replayable.
    #[must_use]
    pub fn new(settings: &Settings, worker: usize, cluster_id: Arc<str>, seed: u64) -> Self {
        let Settings { topics, bridge, cadence, retry, lookup, breaker, ledger, .. } = settings;
        let limits = |topic: &String| Limits {
            max_payload_bytes: bridge.max_payload_bytes,
            require_json: topics.require_json.contains(topic),
            allow_fail_by_id_without_attempt: cadence.allow_fail_by_id_without_attempt,
            ..Limits::default()
        };
        Self {
            worker,
            reads: Reads::Replies,
            limits: topics.replies.iter().map(limits).collect(),
            reply_topics: topics.replies.clone(),
            tiers: topics.retry.iter().map(|topic| tier(topic)).collect(),
            max_parked: retry.max_parked,
            outcome_topic: topics.outcomes.as_str().into(),
            dead_letter_topic: topics.dead_letters.as_str().into(),
            dead_letters: settings.dead_letters.clone(),
            domains: cadence.domains.clone(),
            cluster_id,
            // Equal on all replicas, so that their logs and dead letters can be matched.
            token_print_key: format!("handback/token-print/{}", settings.kafka.group_id),
            seed,
            retry: retry_policy(retry),
            lookup: look::Policy {
                max_per_second: lookup.max_per_second,
                reach: Reach { max_pages: lookup.max_pages, max_bytes: lookup.max_bytes },
                timeout: lookup.timeout,
                patience: lookup.patience,
                keep: lookup.keep,
                wait: lookup.wait,
            },
            breaker: breaker::Policy {
                window: breaker.window,
                min_workflows: breaker.min_workflows,
                failure_share: breaker.failure_share,
            },
            flood: settings.flood.enabled.then_some(flood::Policy {
                window: settings.flood.window,
                max_dead_letters: settings.flood.max_dead_letters,
                share: settings.flood.share,
                pause: settings.flood.pause,
                max_pause: settings.flood.max_pause,
                trial: settings.flood.trial,
            }),
            probe_interval: breaker.probe_interval,
            max_in_flight: bridge.max_in_flight,
            max_in_flight_bytes: bridge.max_in_flight_bytes,
            max_recording: bridge.max_recording,
            max_gap: bridge.max_gap,
            max_lane_depth: bridge.max_lane_depth,
            drain_timeout: bridge.drain_timeout,
            revoke_timeout: bridge.revoke_timeout,
            offset_interval: bridge.offset_interval,
            ledger: ledger.enabled.then(|| ledger::Bounds {
                max_age_s: u32::try_from(ledger.max_age.as_secs()).unwrap_or(u32::MAX),
                max_entries: ledger.max_entries,
                max_total: ledger.max_total,
            }),
            ledger_entries: ledger.enabled,
            ledger_timeout: ledger.load_timeout,
        }
    }

    /// The options of the worker that reads the retry topics. Nothing there is unforeseen, so that there is no flood.
    #[must_use]
    pub fn of_retries(settings: &Settings, worker: usize, cluster_id: Arc<str>, seed: u64) -> Self {
        Self { reads: Reads::Retries, ledger: None, flood: None, ..Self::new(settings, worker, cluster_id, seed) }
    }

    /// How much waits between its consumer and the worker.
    pub(crate) fn batches(&self) -> Batches {
        match self.reads {
            Reads::Replies => Batches::of_replies(self.max_in_flight_bytes),
            Reads::Retries => Batches::of_retries(),
        }
    }

    /// How many topics the worker reads.
    pub(crate) fn topics(&self) -> usize {
        match self.reads {
            Reads::Replies => self.reply_topics.len(),
            Reads::Retries => self.tiers.len(),
        }
    }

    /// The name of the topic with this index among those that the worker reads.
    pub(crate) fn topic(&self, index: u16) -> &str {
        let index = usize::from(index);
        match self.reads {
            Reads::Replies => &self.reply_topics[index],
            Reads::Retries => &self.tiers[index].topic,
        }
    }

    /// The limits of a reply topic by name: a record on a retry topic may be of one that is not read any more.
    pub(crate) fn limits_of(&self, topic: &str) -> Limits {
        let at = self.reply_topics.iter().position(|name| name == topic);
        let others = || Limits { require_json: false, ..self.limits.first().cloned().unwrap_or_default() };
        at.and_then(|at| self.limits.get(at)).cloned().unwrap_or_else(others)
    }
}

/// The settings were checked: each name ends in its delay.
fn tier(topic: &str) -> Tier {
    Tier { topic: topic.into(), delay: Topics::delay_of(topic).unwrap_or_default() }
}

/// How a call is tried again in place.
pub(crate) fn retry_policy(retry: &config::Retry) -> retry::Policy {
    let config::Retry { max_attempts, initial, multiplier, max, jitter, busy_extra, spent, .. } = *retry;
    retry::Policy { max_attempts, initial, multiplier, max, jitter, busy_extra, spent }
}
