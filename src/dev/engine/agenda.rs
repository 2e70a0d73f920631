//! What is to happen later: timers, and tasks that wait for a worker.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Something that becomes due for a workflow run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The run's own timeout.
    RunTimeout,
    /// The pause before this attempt is over.
    Offer { schedule_id: i64, attempt: i32 },
    /// This attempt has had its start-to-close time.
    StartToClose { schedule_id: i64, attempt: i32 },
    /// This attempt may have been silent for too long.
    Heartbeat { schedule_id: i64, attempt: i32 },
}

/// An attempt that waits for a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) run: usize,
    pub(super) schedule_id: i64,
    pub(super) attempt: i32,
}

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<Ready>,
    arrived: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// Time, then order of entry, so that equal times keep their order.
    timers: BinaryHeap<Reverse<(Instant, u64, usize, Due)>>,
    entered: u64,
    queues: HashMap<(usize, String), Queue>,
    /// Told when a timer becomes the next one.
    pub(super) sooner: Arc<Notify>,
}

impl Agenda {
    pub(super) fn at(&mut self, when: Instant, run: usize, due: Due) {
        if self.next().is_none_or(|next| when < next) {
            self.sooner.notify_one();
        }
        self.entered += 1;
        self.timers.push(Reverse((when, self.entered, run, due)));
    }

    /// When the next timer is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((when, ..))| *when)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(usize, Due)> {
        if self.next()? > now {
            return None;
        }
        self.timers.pop().map(|Reverse((_, _, run, due))| (run, due))
    }

    pub(super) fn offer(&mut self, domain: usize, task_list: &str, ready: Ready) {
        let queue = self.queue(domain, task_list);
        queue.ready.push_back(ready);
        queue.arrived.notify_one();
    }

    /// The next waiting attempt of a task list.
    pub(super) fn take(&mut self, domain: usize, task_list: &str) -> Option<Ready> {
        let queue = self.queue(domain, task_list);
        let ready = queue.ready.pop_front();
        if !queue.ready.is_empty() {
            // A notification wakes one poller only, and several tasks may share one.
            queue.arrived.notify_one();
        }
        ready
    }

    /// Told when an attempt arrives at a task list.
    pub(super) fn arrivals(&mut self, domain: usize, task_list: &str) -> Arc<Notify> {
        Arc::clone(&self.queue(domain, task_list).arrived)
    }

    fn queue(&mut self, domain: usize, task_list: &str) -> &mut Queue {
        self.queues.entry((domain, task_list.to_owned())).or_default()
    }
}
