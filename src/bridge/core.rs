//! What every record's story needs: the two seams, the settings, and the small things in between.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use governor::DefaultDirectRateLimiter;
use rustc_hash::FxHashSet;
use tokio::sync::Notify;

use super::clock::Clock;
use super::domains::Allowed;
use super::floodgate::Floodgate;
use super::gate::{Gate, Pass};
use super::ledger::Ledger;
use super::look::Looks;
use super::news::News;
use super::options::Options;
use super::postponed::Postponed;
use super::seams::{CallError, Engine, Log};
use super::tiers::Cause;
use super::unready::{Held, Unready};
use super::work::Work;
use crate::admin::{Health, Metrics};
use crate::wire::{Origin, Reply, TokenPrinter};

/// Limits the calls of all workers of a process.
pub type RateLimiter = DefaultDirectRateLimiter;

/// A limiter of this many calls a second; 0 is no limit.
#[must_use]
pub fn rate_limiter(calls_per_second: u32) -> Option<Arc<RateLimiter>> {
    let rate = NonZeroU32::new(calls_per_second)?;
    Some(Arc::new(RateLimiter::direct(governor::Quota::per_second(rate))))
}

/// Whether the engine is unwell as any worker of the process sees it. A worker with little to do sees it last.
#[derive(Debug, Default)]
pub struct Ailing {
    /// Workers whose gate is not open.
    workers: Arc<AtomicUsize>,
    /// Whether this worker is one of them.
    ours: Cell<bool>,
}

impl Ailing {
    /// Tells the others.
    pub(crate) fn tell(&self, ails: bool) {
        match (self.ours.replace(ails), ails) {
            (false, true) => drop(self.workers.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.workers.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// Whether any worker says so.
    pub(crate) fn anywhere(&self) -> bool {
        self.workers.load(Ordering::Relaxed) > 0
    }
}

impl Clone for Ailing {
    /// For another worker.
    fn clone(&self) -> Self {
        Self { workers: Arc::clone(&self.workers), ours: Cell::new(false) }
    }
}

impl Drop for Ailing {
    fn drop(&mut self) {
        self.tell(false);
    }
}

/// What all workers of a process share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Counters and gauges.
    pub metrics: Arc<Metrics>,
    /// Readiness and its reasons.
    pub health: Arc<Health>,
    /// The limit of calls a second.
    pub limiter: Option<Arc<RateLimiter>>,
    /// Whether the engine is unwell as any of them sees it.
    pub ailing: Ailing,
    /// Which replies wait on retry topics.
    pub postponed: Postponed,
    /// Milliseconds since the epoch.
    pub wall_clock: fn() -> i64,
}

/// The core of one worker.
pub(crate) struct Core<E, L> {
    pub(crate) engine: E,
    pub(crate) log: L,
    pub(crate) options: Options,
    pub(crate) gate: Gate,
    pub(crate) floodgate: Floodgate,
    pub(crate) allowed: Allowed,
    /// Replies in hand that wait for domains which the engine does not know.
    pub(super) unresolved_replies: Cell<usize>,
    pub(crate) ledger: RefCell<Ledger>,
    pub(crate) looks: Looks,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) unready: Unready,
    limiter: Option<Arc<RateLimiter>>,
    pub(crate) clock: Clock,
    pub(super) printer: TokenPrinter,
    random: RefCell<fastrand::Rng>,
    began: Instant,
    pub(super) no_names_before: Cell<Option<tokio::time::Instant>>,
    /// What the workers of the process tell each other about the engine.
    pub(super) ailing: Ailing,
    /// Which replies wait on retry topics, as the workers of the process know it.
    pub(super) postponed: Postponed,
    /// Lanes in which more wait than should, and who waits to hear of one.
    pub(super) crowded: RefCell<FxHashSet<u64>>,
    pub(super) crowding: Notify,
    pub(super) news: News,
    fatal: RefCell<Option<String>>,
    fatal_said: Notify,
}

impl<E: Engine, L: Log> Core<E, L> {
    pub(crate) fn new(engine: E, log: L, options: Options, shared: Shared) -> Self {
        if !options.tiers.is_empty() {
            Cause::ALL.iter().for_each(|cause| shared.metrics.may_postpone(cause.as_str()));
        }
        Self {
            engine,
            log,
            gate: Gate::new(options.breaker),
            floodgate: Floodgate::new(&options),
            allowed: Allowed::new(&options.domains),
            unresolved_replies: Cell::new(0),
            ledger: RefCell::new(Ledger::new(options.ledger.unwrap_or_default())),
            looks: Looks::new(options.lookup),
            metrics: shared.metrics,
            unready: Unready::new(shared.health, options.worker),
            limiter: shared.limiter,
            clock: Clock::new(shared.wall_clock),
            printer: TokenPrinter::new(options.token_print_key.as_bytes()),
            random: RefCell::new(fastrand::Rng::with_seed(options.seed)),
            began: tokio::time::Instant::now().into_std(),
            no_names_before: Cell::new(None),
            ailing: shared.ailing,
            postponed: shared.postponed,
            crowded: RefCell::default(),
            crowding: Notify::new(),
            news: News::default(),
            fatal: RefCell::new(None),
            fatal_said: Notify::new(),
            options,
        }
    }

    /// Leave to make one call: the engine is well and the rate allows it.
    pub(crate) async fn permit(&self) -> Pass<'_> {
        loop {
            let pass = self.gate.pass().await;
            let Some(limiter) = &self.limiter else { return pass };
            limiter.until_ready().await;
            // The gate may have shut while the rate was waited for.
            if pass.holds() {
                return pass;
            }
        }
    }

    /// [`Core::permit`] when there is nothing to wait for.
    pub(crate) fn try_permit(&self) -> Option<Pass<'_>> {
        if self.limiter.is_some() { None } else { self.gate.try_pass() }
    }

    /// Who makes a call (`docs/wire-contract.md`, section 5).
    pub(crate) fn identity(&self, origin: &Origin, reply: &Reply) -> String {
        let cluster = &self.options.cluster_id;
        let mut identity = String::with_capacity(cluster.len() + origin.topic.len() + 80);
        // Writing to a String cannot fail.
        let _ = write!(identity, "handback/1/{cluster}/{origin}/");
        identity.push_str(reply.fingerprint.hex(&mut [0; 32]));
        identity
    }

    /// Uniform in 0 to 1.
    pub(crate) fn random(&self) -> f64 {
        self.random.borrow_mut().f64()
    }

    /// A workflow id for a probe: another shard each time.
    pub(crate) fn probe_name(&self) -> String {
        format!("handback-probe-{:016x}", self.random.borrow_mut().u64(..))
    }

    /// The start of this worker: anchors schedules.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The time to be shown, in milliseconds since the epoch. Ages and waits go by [`Clock::steady_ms`].
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// This reply waits: its answers look like broken wiring, and the wiring is sound.
    pub(crate) fn odd_answer(&self, work: &Work, error: &CallError) -> Held<'_> {
        let origin = &work.record.origin;
        self.unready.hold_because(format!("record/{origin}"), &error.told(), || {
            format!(
                "{origin} waits: the engine answers it with {} {} although it answers probes as it should. Look at what \
                 stands between handback and the frontend",
                error.status, error.message
            )
        })
    }

    /// Says why a record waits: quietly in the fast schedule, aloud once its attempts are spent.
    pub(crate) fn note_wait(&self, work: &Work, error: &CallError, delay: Duration, attempts: u32) {
        let record = &work.record.origin;
        let CallError { status, message, verdict } = error;
        if attempts >= self.options.retry.max_attempts {
            tracing::warn!(%record, status, message, ?verdict, attempts, ?delay, "the engine did not take this reply yet; it waits");
        } else {
            tracing::debug!(%record, status, message, ?verdict, attempts, ?delay, "trying again");
        }
    }

    /// The process must end with this message.
    pub(crate) fn die(&self, message: String) {
        self.fatal.borrow_mut().get_or_insert(message);
        self.fatal_said.notify_one();
    }

    /// Resolves with the message once [`Core::die`] was called.
    pub(crate) async fn dead(&self) -> String {
        loop {
            if let Some(message) = self.fatal.borrow().clone() {
                return message;
            }
            self.fatal_said.notified().await;
        }
    }
}
