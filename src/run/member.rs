//! One worker of the process: its engine client, its consumer, its reader, and what their ending means.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ears::Ears;
use super::{Ended, on_a_runtime, with_source};
use crate::admin::Health;
use crate::bridge::seams::Engine;
use crate::bridge::{self, Ending, FirstLook, Intake, Options, Reads, Shared};
use crate::config::Settings;
use crate::kafka::{self, ConsumerSpec, KafkaLog, Producer, ReaderSpec};

/// How often lag is measured.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);

/// What a worker thread is given.
pub(super) struct Setup<F> {
    pub(super) settings: Settings,
    pub(super) options: Options,
    /// Makes its engine client.
    pub(super) engines: F,
    pub(super) producer: Producer,
    pub(super) observer: Arc<Ears>,
    pub(super) shared: Shared,
    /// Raised before anybody can think that the process has started.
    pub(super) joining: Joining,
}

impl<E: Engine + 'static, F: Fn() -> Result<E, String>> Setup<F> {
    /// The body of a worker thread.
    pub(super) fn run(self, stop: CancellationToken) -> Ended {
        on_a_runtime(self.work(stop))
    }

    async fn work(self, stop: CancellationToken) -> Ended {
        let Self { settings, options, engines, producer, observer, shared, joining } = self;
        let engine = match engines() {
            Ok(engine) => engine,
            Err(message) => return Ended::failed(message),
        };
        let worker = options.worker;
        let looked = match stop.run_until_cancelled(bridge::first_look(&engine)).await {
            None => return Ended::well(),
            Some(FirstLook::Broken(text)) => return Ended::wiring(&settings, &text),
            Some(looked) => looked,
        };
        let consumer = match kafka::spawn(consumer_spec(&settings, &options, observer)) {
            Ok(consumer) => consumer,
            Err(error) => return Ended::failed(with_source(&error)),
        };
        // From here on the consumer says whether the group has taken it in.
        joining.over();
        let (asks, pieces) = match options.reads {
            Reads::Replies => match kafka::read_back::spawn(reader_spec(&settings, worker)) {
                Ok(reader) => (Some(reader.asks), reader.pieces),
                Err(error) => return Ended::failed(with_source(&error)),
            },
            Reads::Retries => (None, mpsc::channel(1).1),
        };
        let log = KafkaLog::new(producer, consumer.commands, asks);
        let intake = Intake { control: consumer.control, records: consumer.records, pieces };
        match bridge::run_after(looked, engine, log, options, shared, intake, stop).await {
            Ending::Drained => Ended::well(),
            Ending::DrainMissed(left) => Ended::drain_missed(format!(
                "worker {worker}: {left} replies were still in hand at bridge.drain_timeout; they come again"
            )),
            Ending::Wiring(text) => Ended::wiring(&settings, &text),
            Ending::Fatal(text) => Ended::fatal(format!("worker {worker}: {text}")),
        }
    }
}

/// Unready until a worker's consumer says how it stands with its group. A worker that ends before that ends the process,
/// which is not ready meanwhile.
pub(super) struct Joining {
    health: Arc<Health>,
    key: String,
}

impl Joining {
    /// Unready from now on.
    pub(super) fn new(health: &Arc<Health>, worker: usize) -> Self {
        let key = format!("starting/{worker}");
        health.raise(&key, "the engine is asked whether it is ours, before the group is joined; replies wait");
        Self { health: Arc::clone(health), key }
    }

    fn over(self) {
        self.health.clear(&self.key);
    }
}

fn consumer_spec(settings: &Settings, options: &Options, observer: Arc<Ears>) -> ConsumerSpec {
    let worker = options.worker;
    let (name, config, topics) = match options.reads {
        Reads::Replies => (
            format!("consumer-{worker}"),
            kafka::client::consumer(&settings.kafka, worker, settings.bridge.workers),
            &settings.topics.replies,
        ),
        Reads::Retries => {
            ("consumer-retry".to_owned(), kafka::client::retry_consumer(&settings.kafka), &settings.topics.retry)
        }
    };
    ConsumerSpec {
        name,
        config,
        topics: topics.iter().map(|topic| topic.as_str().into()).collect(),
        on_gap: settings.topics.on_retention_gap.into(),
        batches: options.batches(),
        accept_recreated: settings.topics.accepted(),
        revoke_timeout: settings.bridge.revoke_timeout,
        lookup_timeout: settings.kafka.metadata_timeout,
        statistics_interval: STATISTICS_INTERVAL,
        observer,
    }
}

fn reader_spec(settings: &Settings, worker: usize) -> ReaderSpec {
    ReaderSpec {
        name: format!("ledger-{worker}"),
        config: kafka::client::reader(&settings.kafka, worker),
        topic: settings.topics.outcomes.as_str().into(),
        reply_topics: settings.topics.replies.clone(),
        lookup_timeout: settings.kafka.metadata_timeout,
        load_timeout: settings.ledger.load_timeout,
    }
}
