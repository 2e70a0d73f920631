//! Topics that cannot be written to, as far as anybody knows. An activity that is handed out burns its own time, one that stays
//! on its list does not: while a topic is in doubt, a list that leads there gives one activity at a time.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::routes::Routed;
use super::seams::TaskList;

/// How long a doubt stands after the last write that gave rise to it. Long enough for the next trial to be over, and short
/// enough for a topic that nobody writes to any more.
const LAPSE: Duration = Duration::from_secs(30);

/// Longest trial. A request that waits for longer tells no more than it has told, and must not keep from its list what goes
/// elsewhere: beyond that one more activity is taken each time.
const LONGEST_TRIAL: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Doubts {
    /// And when the doubt lapses.
    topics: RefCell<HashMap<Arc<str>, Instant>>,
    /// Lists that have their trial.
    trying: RefCell<HashSet<TaskList>>,
    changed: Notify,
}

/// The one activity that is tried on a list meanwhile; over when this is dropped.
pub(super) struct Trial<'a> {
    doubts: &'a Doubts,
    list: &'a TaskList,
}

impl Doubts {
    /// A write to this topic takes too long.
    pub(super) fn raise(&self, topic: &Arc<str>) {
        let now = Instant::now();
        let before = self.topics.borrow_mut().insert(Arc::clone(topic), now + LAPSE);
        if before.is_none_or(|lapse| lapse <= now) {
            tracing::warn!(
                topic = &**topic,
                "requests wait: activities that go there stay on their lists, but for one at a time"
            );
        }
    }

    /// Doubts a topic for as long as this is polled.
    pub(super) async fn keep_raised(&self, topic: &Arc<str>) -> Infallible {
        loop {
            self.raise(topic);
            sleep(LAPSE / 2).await;
        }
    }

    /// Whether it is in doubt.
    pub(super) fn is_raised(&self, topic: &str) -> bool {
        self.lapse(topic).is_some()
    }

    /// Whether some topic that a list leads to is in doubt.
    pub(super) fn concern(&self, routed: &Routed) -> bool {
        self.latest_lapse(routed).is_some()
    }

    fn latest_lapse(&self, routed: &Routed) -> Option<Instant> {
        if self.topics.borrow().is_empty() {
            return None;
        }
        routed.topics().filter_map(|topic| self.lapse(topic)).max()
    }

    fn lapse(&self, topic: &str) -> Option<Instant> {
        self.topics.borrow().get(topic).copied().filter(|lapse| *lapse > Instant::now())
    }

    /// A write to this topic has succeeded.
    pub(super) fn clear(&self, topic: &str) {
        if self.topics.borrow_mut().remove(topic).is_some() {
            tracing::info!(topic, "requests are written again");
            self.changed.notify_waiters();
        }
    }

    /// Waits until a list may be polled: at once where no topic of its routes is in doubt, otherwise for its trial.
    pub(super) async fn pass<'a>(&'a self, routed: &'a Routed) -> Option<Trial<'a>> {
        loop {
            let changed = self.changed.notified();
            let lapse = self.latest_lapse(routed)?;
            if self.trying.borrow_mut().insert(routed.list.clone()) {
                return Some(Trial { doubts: self, list: &routed.list });
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(lapse) => {}
            }
        }
    }
}

/// Ends a trial that takes too long, while this is polled.
pub(super) async fn end_in_time(trial: &Cell<Option<Trial<'_>>>) -> Infallible {
    sleep(LONGEST_TRIAL).await;
    drop(trial.take());
    std::future::pending().await
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.doubts.trying.borrow_mut().remove(self.list);
        self.doubts.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::config::{Route, Settings};
    use crate::dispatch::routes::routed;

    #[tokio::test(start_paused = true)]
    async fn only_lists_that_lead_to_a_topic_in_doubt_wait_and_one_poll_of_each_may_try() {
        let route = |task_list: &str, activity_type: &str, topic: &str| Route {
            domain: "orders".into(),
            task_list: task_list.into(),
            activity_type: activity_type.into(),
            topic: topic.into(),
            ..Route::default()
        };
        let mut settings = Settings::default();
        settings.dispatch.routes = vec![
            route("a", "Charge", "charges"),
            route("a", "*", "rest"),
            route("b", "*", "charges"),
            route("c", "*", "rest"),
        ];
        let lists = routed(&settings);
        let [a, b, c] = &lists[..] else { panic!("{lists:?}") };
        let doubts = Doubts::default();
        let free = |list| matches!(doubts.pass(list).now_or_never(), Some(None));
        assert!(free(a) && free(b) && free(c));
        doubts.raise(&"charges".into());
        assert!(free(c), "it leads elsewhere");
        let trial = doubts.pass(a).now_or_never().flatten();
        assert!(trial.is_some());
        assert!(doubts.pass(a).now_or_never().is_none(), "one at a time");
        assert!(doubts.pass(b).now_or_never().flatten().is_some(), "of each list");
        drop(trial);
        assert!(doubts.pass(a).now_or_never().flatten().is_some(), "the next one");
        doubts.clear("rest");
        assert!(!free(a), "another topic says nothing");
        doubts.clear("charges");
        assert!(free(a) && free(b));
    }

    #[tokio::test(start_paused = true)]
    async fn a_doubt_lapses_when_nobody_writes_there_any_more() {
        let mut settings = Settings::default();
        settings.dispatch.routes = vec![Route { topic: "charges".into(), ..Route::default() }];
        let list = &routed(&settings)[0];
        let (doubts, topic) = (Doubts::default(), Arc::from("charges"));
        let waiting = doubts.keep_raised(&topic);
        assert!(tokio::time::timeout(LAPSE * 3, waiting).await.is_err());
        let trial = doubts.pass(list).await;
        assert!(trial.is_some(), "a write has just waited");
        let began = Instant::now();
        assert!(doubts.pass(list).await.is_none(), "without the end of the trial");
        assert!(began.elapsed() <= LAPSE);
    }
}
