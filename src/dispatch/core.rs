//! What pollers and stories share: the two seams, the settings, and the small things in between.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::doubts::Doubts;
use super::hand::Hands;
use super::options::Options;
use super::pace::Pace;
use crate::admin::{Health, Metrics};
use crate::bridge::retry::Schedule;
use crate::bridge::unready::Unready;

/// What dispatching shares with the rest of the process.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Counters and gauges.
    pub metrics: Arc<Metrics>,
    /// Readiness and its reasons.
    pub health: Arc<Health>,
}

pub(super) struct Core<T, R> {
    pub(super) tasks: T,
    pub(super) requests: R,
    pub(super) options: Options,
    pub(super) hands: Hands,
    pub(super) doubts: Doubts,
    pub(super) pace: Pace,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) unready: Unready,
    /// Cancelled: no new polls.
    pub(super) stop: CancellationToken,
    /// Cancelled: what is not published by now is given up.
    pub(super) hurry: CancellationToken,
    random: RefCell<fastrand::Rng>,
    began: Instant,
    suspected: Notify,
    fatal: RefCell<Option<String>>,
}

impl<T, R> Core<T, R> {
    pub(super) fn new(tasks: T, requests: R, options: Options, shared: Shared, stop: CancellationToken) -> Self {
        let metrics = Arc::clone(&shared.metrics);
        Self {
            tasks,
            requests,
            hands: Hands::new(options.max_in_hand, options.max_in_hand_bytes, metrics),
            doubts: Doubts::default(),
            pace: Pace::new(options.max_tasks_per_second),
            metrics: shared.metrics,
            unready: Unready::new(Arc::clone(&shared.health), 0),
            health: shared.health,
            stop,
            hurry: CancellationToken::new(),
            random: RefCell::new(fastrand::Rng::with_seed(options.seed)),
            began: tokio::time::Instant::now().into_std(),
            suspected: Notify::new(),
            fatal: RefCell::new(None),
            options,
        }
    }

    /// Delays between tries of one call.
    pub(super) fn schedule(&self) -> Schedule {
        Schedule::new(self.options.retry, self.began)
    }

    /// Uniform in 0 to 1.
    pub(super) fn random(&self) -> f64 {
        self.random.borrow_mut().f64()
    }

    /// An answer looked as if no Cadence frontend of ours had given it.
    pub(super) fn suspect(&self) {
        self.suspected.notify_one();
    }

    /// Resolves after [`Core::suspect`].
    pub(super) async fn suspicion(&self) {
        self.suspected.notified().await;
    }

    /// The process must end with this message, and nothing more can be published.
    pub(super) fn die(&self, message: String) {
        self.fatal.borrow_mut().get_or_insert(message);
        self.stop.cancel();
        self.hurry.cancel();
    }

    /// The message of [`Core::die`].
    pub(super) fn fatal(&self) -> Option<String> {
        self.fatal.borrow().clone()
    }
}
