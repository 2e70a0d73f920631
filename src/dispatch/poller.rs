//! One poller: asks a task list for activities, one after the other.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::core::Core;
use super::doubts::Trial;
use super::hand::Place;
use super::routes::Routed;
use super::seams::{Requests, Task, TaskList, Tasks};
use super::task::Taken;
use crate::bridge::retry::{Next, Schedule};
use crate::bridge::seams::{CallError, Verdict};

/// Longest poll. The server answers after a minute without a task, so that this only ends what hangs.
const POLL: Duration = Duration::from_secs(70);

/// A poll after one that failed: an engine that has recovered should be known as well at once, and not after a minute
/// without tasks. Above the two seconds that the server insists on.
const FIRST_POLL: Duration = Duration::from_secs(3);

/// How long polls in flight may still come home when the process stops. One that is cut off while the server hands out a
/// task loses that attempt until its timeout: a busy list answers well within this, an idle one has nothing to lose.
const COMING_HOME: Duration = Duration::from_secs(1);

/// Polls until the process stops. What comes is sent to `arrivals`, each with the place it was polled for.
pub(super) async fn poll<'a, T: Tasks, R: Requests>(
    core: &'a Core<T, R>,
    routed: &'a Routed,
    arrivals: mpsc::Sender<Taken<'a>>,
) {
    let list = &routed.list;
    let mut failing: Option<Schedule> = None;
    loop {
        let ready = async {
            let (place, trial) = loop {
                // First: whoever waits for a trial must not keep a place from other lists.
                let trial = core.doubts.pass(routed).await;
                let place = core.hands.place().await;
                if trial.is_some() || !core.doubts.concern(routed) {
                    break (place, trial);
                }
            };
            core.pace.turn().await;
            (place, trial)
        };
        let Some((place, trial)) = core.stop.run_until_cancelled(ready).await else { return };
        let within = if failing.is_some() { FIRST_POLL } else { POLL };
        let polled = tokio::select! {
            biased;
            polled = core.tasks.poll(list, &core.options.identity, within) => polled,
            () = too_late(core) => return,
        };
        match polled {
            Ok(task) => {
                // Whichever poller raised it: that one may wait for a place now.
                if failing.take().is_some() || !core.health.is_ready() {
                    core.health.clear(&key(list));
                }
                if let Some(task) = task
                    && arrivals.send(taken(routed, task, place, trial)).await.is_err()
                {
                    return;
                }
            }
            Err(error) => {
                drop((place, trial));
                let schedule = failing.get_or_insert_with(|| core.schedule());
                let pause = refused(core, list, schedule, &error);
                if core.stop.run_until_cancelled(sleep(pause)).await.is_none() {
                    return;
                }
            }
        }
    }
}

fn taken<'a>(routed: &'a Routed, task: Task, place: Place<'a>, trial: Option<Trial<'a>>) -> Taken<'a> {
    let route = routed.of(&task.activity.activity_type);
    let hand = place.fill(task.size());
    Taken { task, route, at: Instant::now(), hand, trial: Cell::new(trial) }
}

async fn too_late<T, R>(core: &Core<T, R>) {
    core.stop.cancelled().await;
    sleep(COMING_HOME).await;
}

/// Says why a poll failed, and how long to wait before the next.
fn refused<T, R>(core: &Core<T, R>, list: &TaskList, schedule: &mut Schedule, error: &CallError) -> Duration {
    let CallError { verdict, status, message } = error;
    let next = schedule.failed(matches!(verdict, Verdict::Transient { busy: true }), core.random());
    let (Next::Retry(pause) | Next::Spent(pause)) = next;
    let TaskList { domain, name } = list;
    tracing::warn!(domain, task_list = name, status, message, ?pause, "cannot poll; trying again");
    let reason = match verdict {
        // A frontend that restarts, or is asked too often: worth a reason only if it goes on.
        Verdict::Transient { .. } if matches!(next, Next::Retry(_)) => return pause,
        Verdict::Transient { .. } => "look after the engine".to_owned(),
        Verdict::UnknownDomain => {
            format!("register domain {domain}, or correct the domain in dispatch.routes or cadence.endpoint")
        }
        Verdict::DomainNotActive => "point cadence.endpoint at the active cluster, or fail the domain over".to_owned(),
        Verdict::Wiring => {
            core.suspect();
            "let this caller poll (PollForActivityTask is authorised), and check cadence.endpoint, cadence.service and \
             cadence.authorization with `handback check`"
                .to_owned()
        }
        Verdict::NotFound | Verdict::Refused(_) => "correct domain and task_list in dispatch.routes".to_owned(),
    };
    core.health.raise(
        &key(list),
        format!(
            "task list {name} of domain {domain} cannot be polled ({status} {message}): its activities wait; {reason}"
        ),
    );
    pause
}

/// Under which a list that cannot be polled is a reason to be unready.
fn key(list: &TaskList) -> String {
    format!("dispatch/poll/{}/{}", list.domain, list.name)
}
