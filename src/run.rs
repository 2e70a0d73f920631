//! The bridge as a process runs it: settings in, workers started, endings gathered.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Health, Metrics};
use crate::bridge::{self, Ending, Intake, Options, Shared, rate_limiter};
use crate::cadence;
use crate::config::{OnRetentionGap, Settings};
use crate::exit::Exit;
use crate::kafka::{self, Condition, ConsumerSpec, KafkaLog, Observer, OnGap, Producer, ProducerSpec, ReaderSpec};

/// How often lag is measured.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);

/// Bound of the flush at the end. What the workers awaited is durable already; only abandoned records are left.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between two questions for the cluster's id.
const CLUSTER_ID_PAUSE: Duration = Duration::from_secs(1);

/// Reason to be unready until the workers are up.
const STARTING: &str = "starting";

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The exit code.
    pub exit: Exit,
    /// What happened and what to do about it; `None` after an ordinary stop.
    pub message: Option<String>,
}

impl Ended {
    fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: Some(message.into()) }
    }
}

/// Runs the bridge until `shutdown` is cancelled or it cannot go on. Handles no signals and ends no process.
///
/// Needs a tokio runtime for health and metrics; each worker has a thread and a runtime of its own.
pub async fn run(settings: &Settings, shutdown: CancellationToken) -> Ended {
    let health = Arc::new(Health::new());
    let metrics = Arc::new(Metrics::new());
    health.raise(STARTING, "the bridge is starting");
    let serving = shutdown.child_token();
    let admin = match serve_admin(settings, &metrics, &health, serving.clone()).await {
        Ok(admin) => admin,
        Err(message) => return Ended::failed(message),
    };
    let ended = run_workers(settings, &health, &metrics, shutdown).await;
    serving.cancel();
    if let Some(admin) = admin
        && let Ok(Err(error)) = admin.await
    {
        tracing::warn!(%error, "the admin server ended with an error");
    }
    ended
}

async fn serve_admin(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
    serving: CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<std::io::Result<()>>>, String> {
    let Some(address) = settings.admin.listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "health and metrics: /livez /readyz /metrics");
    let serve = admin::serve(listener, Arc::clone(metrics), Arc::clone(health), serving);
    Ok(Some(tokio::spawn(serve)))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> String {
    format!("cannot listen on admin.listen {address}: {error}; choose another address, or \"off\"")
}

async fn run_workers(
    settings: &Settings,
    health: &Arc<Health>,
    metrics: &Arc<Metrics>,
    shutdown: CancellationToken,
) -> Ended {
    let observer = Arc::new(Ears { health: Arc::clone(health), metrics: Arc::clone(metrics) });
    let spec = ProducerSpec {
        name: "producer".to_owned(),
        config: kafka::client::producer(&settings.kafka),
        observer: Arc::<Ears>::clone(&observer),
    };
    let producer = match Producer::new(spec) {
        Ok(producer) => producer,
        Err(error) => return Ended::failed(with_source(&error)),
    };
    let look_up = cluster_id(&producer, settings.kafka.metadata_timeout, health);
    let Some(cluster_id) = shutdown.run_until_cancelled(look_up).await else {
        return Ended { exit: Exit::Ok, message: None };
    };
    let shared = Shared {
        metrics: Arc::clone(metrics),
        health: Arc::clone(health),
        limiter: rate_limiter(settings.cadence.max_calls_per_second),
        wall_clock: wall_clock_ms,
    };
    let mut endings = Vec::new();
    let (ends, mut ended) = mpsc::channel(settings.bridge.workers);
    for worker in 0..settings.bridge.workers {
        let setup = Setup {
            settings: settings.clone(),
            options: Options::new(settings, worker, Arc::clone(&cluster_id), fastrand::u64(..)),
            producer: producer.clone(),
            observer: Arc::clone(&observer),
            shared: shared.clone(),
        };
        let (stop, ends) = (shutdown.child_token(), ends.clone());
        let body = move || {
            let ending = std::panic::catch_unwind(AssertUnwindSafe(|| setup.run(stop))).unwrap_or_else(|_| {
                Ended::failed(format!(
                    "worker {worker} panicked; please report it with the log. Its replies come again"
                ))
            });
            // The receiver lives until all workers have ended.
            let _ = ends.blocking_send(ending);
        };
        if let Err(error) = thread::Builder::new().name(format!("worker-{worker}")).spawn(body) {
            shutdown.cancel();
            endings.push(Ended::failed(format!("cannot start a worker thread: {error}")));
        }
    }
    drop(ends);
    health.clear(STARTING);
    while let Some(ending) = ended.recv().await {
        if let Some(message) = &ending.message {
            tracing::error!("{message}");
            health.raise("ending", message.clone());
        }
        // One worker that cannot go on ends the process: its partitions would only move to the others and fail there.
        shutdown.cancel();
        endings.push(ending);
    }
    let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH_TIMEOUT)).await.unwrap_or(false);
    if !flushed {
        tracing::warn!("records of abandoned work were still unsent at the end; their replies come again");
    }
    worst(endings, settings.bridge.workers)
}

/// The ending that says most: a process with several reasons reports the gravest.
fn worst(endings: Vec<Ended>, workers: usize) -> Ended {
    if endings.len() < workers {
        return Ended::failed("a worker thread panicked; its replies come again");
    }
    let rank = |ended: &Ended| match ended.exit {
        Exit::Ok => 0,
        Exit::DrainMissed => 1,
        _ => 2,
    };
    endings.into_iter().max_by_key(rank).unwrap_or(Ended { exit: Exit::Ok, message: None })
}

/// Asks for the cluster's id until some broker tells it: every call's identity carries it.
async fn cluster_id(producer: &Producer, within: Duration, health: &Health) -> Arc<str> {
    loop {
        let producer = producer.clone();
        let asked = tokio::task::spawn_blocking(move || producer.cluster_id(within)).await;
        if let Ok(Some(id)) = asked {
            return id.into();
        }
        health.raise(STARTING, "no broker has told the cluster's id yet; check kafka.brokers");
        tracing::warn!("no broker has told the cluster's id yet (kafka.brokers); trying again");
        // A broker without an id answers at once.
        tokio::time::sleep(CLUSTER_ID_PAUSE).await;
    }
}

/// Milliseconds since the epoch: the one place that reads the wall clock.
pub(crate) fn wall_clock_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// What a worker thread is given.
struct Setup {
    settings: Settings,
    options: Options,
    producer: Producer,
    observer: Arc<Ears>,
    shared: Shared,
}

impl Setup {
    /// The body of a worker thread.
    fn run(self, stop: CancellationToken) -> Ended {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return Ended::failed(format!("cannot start a runtime: {error}")),
        };
        runtime.block_on(self.work(stop))
    }

    async fn work(self, stop: CancellationToken) -> Ended {
        let Self { settings, options, producer, observer, shared } = self;
        let engine = match cadence::Client::connect(&settings.cadence, Arc::clone(&shared.metrics)) {
            Ok(engine) => engine,
            Err(error) => return Ended::failed(with_source(&error)),
        };
        let worker = options.worker;
        let consumer = match kafka::spawn(consumer_spec(&settings, worker, observer)) {
            Ok(consumer) => consumer,
            Err(error) => return Ended::failed(with_source(&error)),
        };
        let reader = match kafka::read_back::spawn(reader_spec(&settings, worker)) {
            Ok(reader) => reader,
            Err(error) => return Ended::failed(with_source(&error)),
        };
        let log = KafkaLog::new(producer, consumer.commands, reader.asks);
        let intake = Intake { control: consumer.control, records: consumer.records, pieces: reader.pieces };
        match bridge::run(engine, log, options, shared, intake, stop).await {
            Ending::Drained => Ended { exit: Exit::Ok, message: None },
            Ending::DrainMissed(left) => Ended {
                exit: Exit::DrainMissed,
                message: Some(format!(
                    "worker {worker}: {left} replies were still in hand at bridge.drain_timeout; they come again"
                )),
            },
            Ending::Wiring(text) => Ended {
                exit: Exit::Wiring,
                message: Some(format!(
                    "cadence.endpoint {} does not answer as a Cadence frontend that accepts us: {text}. Offsets are \
                     untouched. Check cadence.endpoint, cadence.service and cadence.authorization with `handback check`",
                    settings.cadence.endpoint
                )),
            },
            Ending::Fatal(text) => Ended { exit: Exit::KafkaFatal, message: Some(format!("worker {worker}: {text}")) },
        }
    }
}

fn consumer_spec(settings: &Settings, worker: usize, observer: Arc<Ears>) -> ConsumerSpec {
    ConsumerSpec {
        name: format!("consumer-{worker}"),
        config: kafka::client::consumer(&settings.kafka, worker, settings.bridge.workers),
        topics: settings.topics.replies.iter().map(|topic| topic.as_str().into()).collect(),
        on_gap: match settings.topics.on_retention_gap {
            OnRetentionGap::Stop => OnGap::Stop,
            OnRetentionGap::Continue => OnGap::Continue,
        },
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
    }
}

/// Turns what the Kafka clients tell into readiness and metrics.
struct Ears {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
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
