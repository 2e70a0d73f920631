//! The bridge and dispatching as a process runs them: settings in, workers started, endings gathered.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Health, Metrics};
use crate::bridge::seams::Engine;
use crate::bridge::{Ailing, Options, Postponed, Shared, rate_limiter};
use crate::cadence::Client;
use crate::config::Settings;
use crate::exit::Exit;
use crate::kafka::{self, Producer, ProducerSpec};

mod dispatcher;
mod ears;
mod member;
mod topics;

use dispatcher::Dispatcher;
use ears::Ears;
use member::{Joining, Setup};

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
    fn well() -> Self {
        Self { exit: Exit::Ok, message: None }
    }

    fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: Some(message.into()) }
    }

    fn drain_missed(message: String) -> Self {
        Self { exit: Exit::DrainMissed, message: Some(message) }
    }

    fn wiring(settings: &Settings, text: &str) -> Self {
        let message = format!(
            "cadence.endpoint {} does not answer as a Cadence frontend that accepts us: {text}. What it did not \
             answer waits where it is. Check cadence.endpoint, cadence.service and cadence.authorization with `handback check`",
            settings.cadence.endpoint
        );
        Self { exit: Exit::Wiring, message: Some(message) }
    }

    fn fatal(message: String) -> Self {
        Self { exit: Exit::KafkaFatal, message: Some(message) }
    }
}

/// What a process does.
#[derive(Clone, Copy)]
struct Duties {
    bridge: bool,
    dispatch: bool,
}

/// Runs the bridge until `shutdown` is cancelled or it cannot go on, and dispatches beside it if `dispatch.enabled`. Handles
/// no signals and ends no process.
///
/// Needs a tokio runtime for health and metrics; each worker has a thread and a runtime of its own.
pub async fn run(settings: &Settings, shutdown: CancellationToken) -> Ended {
    run_on_cadence(settings, Duties { bridge: true, dispatch: settings.dispatch.enabled }, shutdown).await
}

/// Runs the bridge as [`run`] does, with engines of the caller's own instead of Cadence clients, and without dispatching.
/// `engines` is asked once by each worker, on the worker's own thread; a text instead of an engine ends the process. Of
/// `[cadence]` only `domains`, `max_calls_per_second` and `allow_fail_by_id_without_attempt` are heeded.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::mpsc::Sender;
///
/// use handback::engine::{Accepted, Call, CallError, DomainRef, Engine, Probed, Reach, Sight, Wiring};
/// use handback::wire::Target;
///
/// /// Takes everything, and passes on of which workflow it was.
/// struct Mine(Sender<String>);
///
/// impl Engine for Mine {
///     async fn call(&self, call: Call<'_>) -> Result<Accepted, CallError> {
///         let _ = self.0.send(call.target.workflow_id().to_owned());
///         Ok(Accepted::default())
///     }
///     async fn probe_wiring(&self) -> Wiring {
///         Wiring::Sound
///     }
///     async fn probe_history(&self, _domain: &DomainRef, _workflow_id: &str) -> Probed {
///         Probed::Well
///     }
///     async fn domain_name(&self, _id: &str) -> Result<Option<Arc<str>>, CallError> {
///         Ok(None)
///     }
///     async fn domain_id(&self, _name: &str) -> Result<Option<Arc<str>>, CallError> {
///         Ok(None)
///     }
///     async fn look(&self, _target: &Target, _reach: Reach) -> Result<Sight, CallError> {
///         Ok(Sight::Nothing)
///     }
/// }
/// # use handback::{publish::Publisher, testkit, wire::{Answer, Limits, Request}};
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let usual = handback::config::Settings::default().topics;
/// # let names = usual.replies.into_iter().chain(usual.retry).chain([usual.outcomes, usual.dead_letters]);
/// # let broker = testkit::Broker::start(&names.map(|name| (name, 1)).collect::<Vec<_>>())?;
/// # let settings = testkit::settings(broker.bootstrap_servers(), "http://127.0.0.1:1");
/// # let value = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/examples/valid/request/full.json"));
/// # let reply = Request::parse(value)?.reply(Answer::completed("well")?);
/// # let publisher = Publisher::connect(&settings.kafka)?;
/// # publisher.publish(reply.into_record("activity-replies".into(), &Limits::default())?).await?;
///
/// let (sender, calls) = std::sync::mpsc::channel();
/// let shutdown = tokio_util::sync::CancellationToken::new();
/// let bridge = tokio::spawn({
///     let shutdown = shutdown.clone();
///     async move { handback::run_with(&settings, move || Ok(Mine(sender.clone())), shutdown).await }
/// });
/// # let workflow = tokio::task::spawn_blocking(move || calls.recv_timeout(std::time::Duration::from_secs(60))).await??;
/// # assert_eq!(workflow, "order-17");
/// shutdown.cancel();
/// assert_eq!(bridge.await?.exit, handback::exit::Exit::Ok);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn run_with<E, F>(settings: &Settings, engines: F, shutdown: CancellationToken) -> Ended
where
    E: Engine + 'static,
    F: Fn() -> Result<E, String> + Clone + Send + 'static,
{
    let duties = Duties { bridge: true, dispatch: false };
    run_process(settings, duties, &engines, Arc::new(Metrics::new()), shutdown).await
}

/// Only dispatches: publishes the activities of `dispatch.routes` as requests until `shutdown` is cancelled or it cannot go
/// on. Needs what [`run`] needs, but no consumer group.
pub async fn dispatch(settings: &Settings, shutdown: CancellationToken) -> Ended {
    run_on_cadence(settings, Duties { bridge: false, dispatch: true }, shutdown).await
}

async fn run_on_cadence(settings: &Settings, duties: Duties, shutdown: CancellationToken) -> Ended {
    let metrics = Arc::new(Metrics::new());
    let (cadence, counted) = (settings.cadence.clone(), Arc::clone(&metrics));
    let engines = move || Client::connect(&cadence, Arc::clone(&counted)).map_err(|error| with_source(&error));
    run_process(settings, duties, &engines, metrics, shutdown).await
}

async fn run_process<E, F>(
    settings: &Settings,
    duties: Duties,
    engines: &F,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Ended
where
    E: Engine + 'static,
    F: Fn() -> Result<E, String> + Clone + Send + 'static,
{
    // The caller's own token is not ours to cancel. And whoever drops this future stops the threads.
    let shutdown = shutdown.child_token();
    let _stop = shutdown.clone().drop_guard();
    let health = Arc::new(Health::new());
    health.raise(STARTING, "starting");
    let serving = shutdown.child_token();
    let admin = match serve_admin(settings, &metrics, &health, serving.clone()).await {
        Ok(admin) => admin,
        Err(message) => return Ended::failed(message),
    };
    let ended = run_workers(settings, duties, engines, &health, &metrics, shutdown).await;
    serving.cancel();
    if let Some(admin) = admin {
        // Ends soon, whoever is connected; a panic of its own changes nothing any more.
        let _ = admin.await;
    }
    ended
}

async fn serve_admin(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
    serving: CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<()>>, String> {
    let Some(address) = settings.admin.listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "health and metrics: /livez /readyz /metrics");
    let serve = admin::serve(listener, Arc::clone(metrics), Arc::clone(health), serving);
    Ok(Some(tokio::spawn(serve)))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> String {
    format!("cannot listen on admin.listen {address}: {error}; choose another address, or \"off\"")
}

async fn run_workers<E, F>(
    settings: &Settings,
    duties: Duties,
    engines: &F,
    health: &Arc<Health>,
    metrics: &Arc<Metrics>,
    shutdown: CancellationToken,
) -> Ended
where
    E: Engine + 'static,
    F: Fn() -> Result<E, String> + Clone + Send + 'static,
{
    let observer = Arc::new(Ears::new(Arc::clone(health), Arc::clone(metrics), &settings.topics.retry));
    let spec = ProducerSpec {
        name: "producer".to_owned(),
        config: kafka::client::producer(&settings.kafka),
        observer: Arc::<Ears>::clone(&observer),
    };
    let moved: Vec<_> =
        settings.topics.retry.iter().chain([&settings.topics.dead_letters]).map(String::as_str).collect();
    let producer = match Producer::compressing(spec, &moved) {
        Ok(producer) => producer,
        Err(error) => return Ended::failed(with_source(&error)),
    };
    let look_up = cluster_id(&producer, settings.kafka.metadata_timeout, health);
    let Some(cluster_id) = shutdown.run_until_cancelled(look_up).await else {
        return Ended::well();
    };
    let shared = Shared {
        metrics: Arc::clone(metrics),
        health: Arc::clone(health),
        limiter: rate_limiter(settings.cadence.max_calls_per_second),
        ailing: Ailing::default(),
        postponed: Postponed::default(),
        wall_clock: wall_clock_ms,
    };
    let watching = topics::watch(settings.clone(), duties, producer.clone(), Arc::clone(health), shutdown.clone());
    let watching = tokio::spawn(watching);
    let all = if duties.bridge { options_of_all(settings, &cluster_id) } else { Vec::new() };
    let workers = all.len() + usize::from(duties.dispatch);
    let (ends, mut ended) = mpsc::channel(workers);
    let dispatcher = duties.dispatch.then(|| Dispatcher {
        settings: settings.clone(),
        producer: producer.clone(),
        shared: shared.clone(),
    });
    let setup = |options: Options| Setup {
        settings: settings.clone(),
        joining: Joining::new(health, options.worker),
        options,
        engines: engines.clone(),
        producer: producer.clone(),
        observer: Arc::clone(&observer),
        shared: shared.clone(),
    };
    let setups = all.into_iter().map(setup);
    let mut endings = start_all(setups, dispatcher, &ends, &shutdown);
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
    // It holds a clone of the producer.
    let _ = watching.await;
    let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH_TIMEOUT)).await.unwrap_or(false);
    if !flushed {
        tracing::warn!(
            "records of abandoned work were still unsent at the end: replies come again, activities were failed or time out"
        );
    }
    worst(endings, workers)
}

/// What each worker is told: those that read the reply topics, and the one that reads the retry topics.
fn options_of_all(settings: &Settings, cluster_id: &Arc<str>) -> Vec<Options> {
    let replies = (0..settings.bridge.workers)
        .map(|worker| Options::new(settings, worker, Arc::clone(cluster_id), fastrand::u64(..)));
    let retries = (!settings.topics.retry.is_empty())
        .then(|| Options::of_retries(settings, settings.bridge.workers, Arc::clone(cluster_id), fastrand::u64(..)));
    replies.chain(retries).collect()
}

/// Starts the threads. One that cannot be started has ended already, and with it the process.
fn start_all<E, F>(
    setups: impl Iterator<Item = Setup<F>>,
    dispatcher: Option<Dispatcher>,
    ends: &mpsc::Sender<Ended>,
    shutdown: &CancellationToken,
) -> Vec<Ended>
where
    E: Engine + 'static,
    F: Fn() -> Result<E, String> + Send + 'static,
{
    let mut failed = Vec::new();
    let mut note = |who: &str, started: std::io::Result<()>| {
        if let Err(error) = started {
            shutdown.cancel();
            failed.push(Ended::failed(format!("cannot start {who}: {error}")));
        }
    };
    for setup in setups {
        let (worker, stop) = (setup.options.worker, shutdown.child_token());
        note("a worker thread", start(format!("worker-{worker}"), move || setup.run(stop), ends.clone()));
    }
    if let Some(dispatcher) = dispatcher {
        let stop = shutdown.child_token();
        note("the dispatching thread", start("dispatch".to_owned(), move || dispatcher.run(stop), ends.clone()));
    }
    failed
}

/// Starts a worker's thread, which tells how it ended whatever happens.
fn start(name: String, run: impl FnOnce() -> Ended + Send + 'static, ends: mpsc::Sender<Ended>) -> std::io::Result<()> {
    let who = name.clone();
    let body = move || {
        let ending = std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            Ended::failed(format!(
                "{who} panicked; please report it with the log. Replies in its hands come again, activities time out"
            ))
        });
        // The receiver lives until all workers have ended.
        let _ = ends.blocking_send(ending);
    };
    thread::Builder::new().name(name).spawn(body).map(|_| ())
}

/// Does the work of a thread on a runtime of its own.
fn on_a_runtime(work: impl Future<Output = Ended>) -> Ended {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Ended::failed(format!("cannot start a runtime: {error}")),
    }
}

/// The ending that says most: a process with several reasons reports the gravest.
fn worst(endings: Vec<Ended>, workers: usize) -> Ended {
    if endings.len() < workers {
        return Ended::failed("a thread panicked; replies in its hands come again, activities time out");
    }
    let rank = |ended: &Ended| match ended.exit {
        Exit::Ok => 0,
        Exit::DrainMissed => 1,
        _ => 2,
    };
    endings.into_iter().max_by_key(rank).unwrap_or_else(Ended::well)
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
