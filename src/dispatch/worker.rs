//! The loop that polls, starts stories, and stops in order: polls, work in hand, end.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::core::{Core, Shared};
use super::options::Options;
use super::poller::poll;
use super::seams::{Requests, Tasks};
use super::task::{Taken, story};
use super::watch::watch;
use crate::admin::Dispatched;

/// Why dispatching ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Asked to stop, and everything in hand was published or failed.
    Drained,
    /// Asked to stop, and this many activities were still in hand at the deadline: their timeouts end them.
    DrainMissed(usize),
    /// What answers is not a Cadence frontend that accepts us.
    Wiring(String),
    /// The Kafka client cannot go on.
    Fatal(String),
}

/// Dispatches until `stop` is cancelled or it cannot go on. One task does everything; it needs a runtime of one thread.
pub async fn run<T: Tasks, R: Requests>(
    tasks: T,
    requests: R,
    options: Options,
    shared: Shared,
    stop: CancellationToken,
) -> Ending {
    let core = Core::new(tasks, requests, options, shared, stop.child_token());
    let mut work = pin!(work(&core));
    let mut done = false;
    let broken = tokio::select! {
        () = work.as_mut() => {
            done = true;
            None
        }
        () = core.stop.cancelled() => None,
        text = watch(&core) => Some(text),
    };
    core.stop.cancel();
    let ending = if done { Ending::Drained } else { drain(&core, work).await };
    match (core.fatal(), broken) {
        (Some(text), _) => Ending::Fatal(text),
        (None, Some(text)) => Ending::Wiring(text),
        (None, None) => ending,
    }
}

/// Polls and tells stories until polling has stopped and every story has ended.
async fn work<T: Tasks, R: Requests>(core: &Core<T, R>) {
    // Never full: each that is sent has a place.
    let (sender, mut arrivals) = mpsc::channel(core.options.max_in_hand.clamp(1, Semaphore::MAX_PERMITS));
    let lists = core.options.routed.iter();
    let mut pollers: FuturesUnordered<_> = lists
        .flat_map(|routed| (0..core.options.pollers).map(move |_| routed))
        .map(|routed| poll(core, routed, sender.clone()))
        .collect();
    drop(sender);
    let mut stories = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(taken) = arrivals.recv() => stories.push(unharmed(core, taken)),
            Some(()) = stories.next() => {}
            Some(()) = pollers.next() => {
                if pollers.is_empty() {
                    tracing::info!(in_hand = core.hands.tasks(), "polling has stopped");
                }
            }
            else => return,
        }
    }
}

/// A story whose panic hurts no other. One while publishing ends in a failed attempt; one while failing it in a timeout.
async fn unharmed<T: Tasks, R: Requests>(core: &Core<T, R>, taken: Taken<'_>) {
    let activity = taken.task.activity.clone();
    if AssertUnwindSafe(story(core, taken)).catch_unwind().await.is_err() {
        tracing::error!(?activity, "handling an activity panicked, its timeout ends it; please report this");
        core.metrics.dispatch().ended(Dispatched::Left);
    }
}

/// Lets what is in hand finish. Shortly before the deadline what could not be published is given up, so that the engine
/// hears of it from us and not from a timeout of hours.
async fn drain<T, R, F: Future<Output = ()>>(core: &Core<T, R>, mut work: Pin<&mut F>) -> Ending {
    let whole = core.options.drain_timeout;
    let margin = core.options.give_up_before.min(whole / 2);
    if timeout(whole - margin, work.as_mut()).await.is_ok() {
        return Ending::Drained;
    }
    core.hurry.cancel();
    match timeout(margin, work).await {
        Ok(()) => Ending::Drained,
        Err(_) => Ending::DrainMissed(core.hands.tasks()),
    }
}
