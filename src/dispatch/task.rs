//! The story of one activity: from the engine's hands to the request topic, or back with a reason. Every branch of its
//! fate is in this file.

use std::cell::Cell;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};

use super::core::Core;
use super::doubts::{self, Trial};
use super::giving_up::GivingUp;
use super::hand::InHand;
use super::reasons::Reason;
use super::request;
use super::routes::Route;
use super::seams::{Requests, Task, Tasks};
use super::times::give_up_after;
use crate::admin::Dispatched;
use crate::bridge::retry::Next;
use crate::bridge::seams::{ProduceFault, Verdict};
use crate::wire::OutRecord;

/// First pause after a request could not be written, and the longest. A broker that elects leaders needs seconds.
const WRITE_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Failed writes of one request that pass quietly: a leader election is one or two.
const MAX_QUIET_FAULTS: usize = 3;

/// Longest write that passes quietly, because the client tries for longer than that by itself: twice a leader election.
const MAX_QUIET: Duration = Duration::from_secs(10);

/// The same where writes have failed of late.
const MAX_QUIET_IN_DOUBT: Duration = Duration::from_secs(1);

/// An activity in hand.
pub(super) struct Taken<'a> {
    pub(super) task: Task,
    /// Where it goes, if there is anywhere to go.
    pub(super) route: Option<&'a Route>,
    /// When it came.
    pub(super) at: Instant,
    /// Its place, until its story has ended.
    pub(super) hand: InHand<'a>,
    /// That it is the only one of its list, while where the list leads is in doubt.
    pub(super) trial: Cell<Option<Trial<'a>>>,
}

/// Why an activity is not left pending.
enum Unpublished {
    /// It is to be failed with this reason, and this detail for people.
    Fail(Reason, String),
    /// The engine knows its attempt no more: nothing is left to be done.
    Gone,
}

/// Publishes the request and leaves the activity pending, or fails the attempt with a reason. An activity is left pending
/// only once all in-sync replicas have its request.
pub(super) async fn story<T: Tasks, R: Requests>(core: &Core<T, R>, taken: Taken<'_>) {
    // A panic says nothing of the request: its attempt must not be left pending either.
    let published = AssertUnwindSafe(publish(core, &taken)).catch_unwind().await;
    let result = match published.unwrap_or_else(|_| Err(panicked(&taken))) {
        Ok(()) => {
            core.metrics.dispatch().published(taken.at.elapsed());
            Dispatched::Published
        }
        Err(Unpublished::Fail(reason, detail)) => give_back(core, &taken, reason, &detail).await,
        Err(Unpublished::Gone) => Dispatched::Gone,
    };
    core.metrics.dispatch().ended(result);
    drop((taken.hand, taken.trial));
}

fn panicked(taken: &Taken<'_>) -> Unpublished {
    tracing::error!(activity = ?taken.task.activity, "publishing an activity panicked; please report this");
    Unpublished::Fail(Reason::NotPublished, "publishing it panicked; see handback's log".to_owned())
}

async fn publish<T: Tasks, R: Requests>(core: &Core<T, R>, taken: &Taken<'_>) -> Result<(), Unpublished> {
    let Taken { task, route, at, trial, .. } = taken;
    let Some(route) = route else {
        let activity_type = &task.activity.activity_type;
        let detail = format!("no route for activity type {activity_type:?}: add one to dispatch.routes");
        return Err(Unpublished::Fail(Reason::NoRoute, detail));
    };
    let record = request::record(task, route).map_err(|fault| {
        Unpublished::Fail(Reason::NotPublished, format!("no reply could name this activity: {fault}"))
    })?;
    let (size, limit) = (request::size(&record), core.options.max_request_bytes);
    if size > limit {
        let detail = format!("the request has {size} bytes, dispatch.max_request_bytes is {limit}");
        return Err(Unpublished::Fail(Reason::TooLarge, detail));
    }
    if !core.doubts.is_raised(&route.topic) {
        // It goes elsewhere, and the next one need not wait for what becomes of it.
        drop(trial.take());
    }
    let patience = task.times.patience().map(|patience| give_up_after(patience, core.options.give_up_before));
    let giving_up = GivingUp { at: patience.and_then(|patience| at.checked_add(patience)), hurry: &core.hurry };
    tokio::select! {
        biased;
        written = write(core, record, &giving_up) => written,
        () = keep_alive(core, task) => Err(Unpublished::Gone),
        never = say_when_slow(core, &route.topic) => match never {},
        never = doubts::end_in_time(trial) => match never {},
    }
}

/// Unready while a write takes too long, for as long as this is polled.
async fn say_when_slow<T, R>(core: &Core<T, R>, topic: &Arc<str>) -> Infallible {
    sleep(if core.doubts.is_raised(topic) { MAX_QUIET_IN_DOUBT } else { MAX_QUIET }).await;
    let _unready = core.unready.hold(write_key(topic), || {
        unwritten(
            topic,
            "no acknowledgement of all in-sync replicas yet: its leader is away, or fewer replicas are in sync than \
             min.insync.replicas asks for; look at the brokers",
        )
    });
    core.doubts.keep_raised(topic).await
}

/// Under which requests that cannot be written are a reason to be unready.
fn write_key(topic: &str) -> String {
    format!("dispatch/write/{topic}")
}

fn unwritten(topic: &str, text: &str) -> String {
    format!("requests cannot be written to {topic}: {text}; their activities wait")
}

/// Heartbeats for an attempt whose request waits: nobody else can yet, and a broker that is away for longer than that must
/// not fail it. Ends only when the attempt is gone.
async fn keep_alive<T: Tasks, R: Requests>(core: &Core<T, R>, task: &Task) {
    let Some(pause) = task.times.heartbeat_pause() else { return std::future::pending().await };
    loop {
        sleep(pause).await;
        let beat = core.tasks.heartbeat(&task.token, task.heartbeat_details.as_ref(), &core.options.identity);
        let Err(error) = beat.await else { continue };
        let (activity, status, message) = (&task.activity, error.status, error.message);
        tracing::warn!(?activity, status, message, "cannot heartbeat for an activity whose request waits");
        if error.verdict == Verdict::NotFound {
            return;
        }
    }
}

/// Writes until it is durable, or until it is too late.
async fn write<T: Tasks, R: Requests>(
    core: &Core<T, R>,
    record: OutRecord,
    giving_up: &GivingUp<'_>,
) -> Result<(), Unpublished> {
    let mut pause = WRITE_PAUSES.0;
    let mut faults = 0;
    let began = Instant::now();
    let mut last = "no acknowledgement of all in-sync replicas in time".to_owned();
    let mut _unready;
    loop {
        let written = giving_up.unless_due(async { core.requests.write(record.clone()).await }).await;
        let reason = |text: &str| unwritten(&record.topic, text);
        match written {
            Some(Ok(())) => {
                core.doubts.clear(&record.topic);
                return Ok(());
            }
            Some(Err(ProduceFault::Transient(text))) => {
                faults += 1;
                // Hundreds may wait, each tried every few seconds: the first says what there is to say.
                if faults == 1 {
                    tracing::warn!("{}", reason(&text));
                } else {
                    tracing::debug!(faults, "{}", reason(&text));
                }
                if faults >= MAX_QUIET_FAULTS {
                    core.doubts.raise(&record.topic);
                    _unready = core.unready.hold_because(write_key(&record.topic), &text, || reason(&text));
                }
                last = text;
            }
            // The topic is well, and takes what is smaller.
            Some(Err(ProduceFault::TooLarge(text))) => return Err(Unpublished::Fail(Reason::TooLarge, text)),
            Some(Err(ProduceFault::Permanent(text))) => {
                _unready = core.unready.hold_because(write_key(&record.topic), &text, || reason(&text));
                pause = WRITE_PAUSES.1;
                last = text;
            }
            Some(Err(ProduceFault::Fatal(text))) => {
                core.die(reason(&text));
                last = text;
            }
            None => return Err(too_late(core, &record.topic, began, last)),
        }
        core.metrics.dispatch().produce_retry();
        if giving_up.unless_due(sleep(pause)).await.is_none() {
            return Err(too_late(core, &record.topic, began, last));
        }
        pause = (pause * 2).min(WRITE_PAUSES.1);
    }
}

fn too_late<T, R>(core: &Core<T, R>, topic: &Arc<str>, began: Instant, last: String) -> Unpublished {
    // What was over before it began says nothing of the topic.
    if began.elapsed() >= WRITE_PAUSES.0 && !core.hurry.is_cancelled() {
        core.doubts.raise(topic);
    }
    Unpublished::Fail(Reason::NotPublished, last)
}

/// Fails the attempt, trying again as long as it lives.
async fn give_back<T: Tasks, R: Requests>(
    core: &Core<T, R>,
    taken: &Taken<'_>,
    reason: Reason,
    detail: &str,
) -> Dispatched {
    let activity = &taken.task.activity;
    let failure = reason.failure(detail);
    let lost_at = taken.task.times.patience().and_then(|patience| taken.at.checked_add(patience));
    let mut schedule = core.schedule();
    tracing::warn!(?activity, reason = reason.as_str(), detail, "failing an activity that was not published");
    loop {
        let Err(error) = core.tasks.fail(&taken.task.token, &failure, &core.options.identity).await else {
            return ended(reason);
        };
        let busy = match error.verdict {
            // Its workflow has ended, or its timeout was quicker: nothing is left to be failed.
            Verdict::NotFound => return Dispatched::Gone,
            Verdict::Refused(_) => {
                tracing::error!(?activity, status = error.status, message = error.message, "cannot fail an activity");
                return Dispatched::Left;
            }
            Verdict::Transient { busy } => busy,
            Verdict::Wiring => {
                core.suspect();
                false
            }
            Verdict::DomainNotActive | Verdict::UnknownDomain => false,
        };
        let (Next::Retry(pause) | Next::Spent(pause)) = schedule.failed(busy, core.random());
        if lost_at.is_some_and(|lost_at| Instant::now() + pause >= lost_at) {
            tracing::error!(
                ?activity,
                status = error.status,
                message = error.message,
                "an activity is left to its timeout"
            );
            return Dispatched::Left;
        }
        sleep(pause).await;
    }
}

fn ended(reason: Reason) -> Dispatched {
    match reason {
        Reason::NoRoute => Dispatched::NoRoute,
        Reason::TooLarge => Dispatched::TooLarge,
        Reason::NotPublished => Dispatched::NotPublished,
    }
}
