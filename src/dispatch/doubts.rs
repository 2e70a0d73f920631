//! Topics that cannot be written to, as far as anybody knows. An activity that is handed out burns its own time, one that stays
//! on its list does not: while a topic is in doubt, a list that leads there gives one activity at a time.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::Notify;

use super::routes::Routed;
use super::seams::TaskList;

#[derive(Default)]
pub(super) struct Doubts {
    topics: RefCell<HashSet<Arc<str>>>,
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
        if self.topics.borrow_mut().insert(Arc::clone(topic)) {
            tracing::warn!(
                topic = &**topic,
                "requests wait: activities that go there stay on their lists, but for one at a time"
            );
        }
    }

    /// Whether it is in doubt.
    pub(super) fn is_raised(&self, topic: &str) -> bool {
        self.topics.borrow().contains(topic)
    }

    /// A write to this topic has succeeded.
    pub(super) fn clear(&self, topic: &str) {
        if self.topics.borrow_mut().remove(topic) {
            tracing::info!(topic, "requests are written again");
            self.changed.notify_waiters();
        }
    }

    /// Waits until a list may be polled: at once where no topic of its routes is in doubt, otherwise for its trial.
    pub(super) async fn pass<'a>(&'a self, routed: &'a Routed) -> Option<Trial<'a>> {
        loop {
            let changed = self.changed.notified();
            if !self.concern(routed) {
                return None;
            }
            if self.trying.borrow_mut().insert(routed.list.clone()) {
                return Some(Trial { doubts: self, list: &routed.list });
            }
            changed.await;
        }
    }

    fn concern(&self, routed: &Routed) -> bool {
        let topics = self.topics.borrow();
        !topics.is_empty() && routed.topics().any(|topic| topics.contains(topic))
    }
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

    #[test]
    fn only_lists_that_lead_to_a_topic_in_doubt_wait_and_one_poll_of_each_may_try() {
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
}
