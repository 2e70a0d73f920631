//! Which replies wait on retry topics, as far as this process has moved them there: later replies to the same attempt follow
//! them, so that their order holds.
//!
//! Who is earlier is told by the offset on the reply topic, which a record keeps however often it is moved. Replies that name
//! different attempts have no order among each other: an answer to an attempt that never comes must not keep back the one
//! that is waited for. Pure: time is an argument.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::{FxHashMap, FxHasher};
use tokio::time::Instant;

use super::named::Named;
use super::tiers::Cause;
use crate::wire::Origin;

/// Activities remembered by one process: 10 MB at most. Beyond them the one whose replies are due first is forgotten: their
/// wait is over soonest, and what is lost is an order, not a reply.
const MAX_ACTIVITIES: usize = 50_000;

/// Runs of replies remembered of one activity: each is of one attempt, on one topic, for one cause.
const MAX_RUNS: usize = 8;

/// What the workers of a process know of replies on retry topics.
#[derive(Clone, Debug, Default)]
pub struct Postponed(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Activities in the table: most of the time none, and nobody waits for the lock.
    count: AtomicUsize,
    table: Mutex<Table>,
    /// Whether taking note of an end panics.
    #[cfg(test)]
    breaks: std::sync::atomic::AtomicBool,
}

#[derive(Debug, Default)]
struct Table {
    /// By activity and the partition of the reply topic.
    activities: FxHashMap<u64, Vec<Run>>,
    /// When to look whether an activity can be forgotten.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
}

/// A reply, as far as its order matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    key: u64,
    offset: i64,
    named: Named,
    /// The tier that it was read from; `None` on a reply topic.
    at: Option<usize>,
}

/// Why and where a reply has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ahead {
    /// The tier on which the last earlier reply waits.
    pub(crate) tier: usize,
    /// Why that one left.
    pub(crate) cause: Cause,
}

/// Replies that left one after the other for the same reason and topic.
#[derive(Clone, Copy, Debug)]
struct Run {
    tier: usize,
    cause: Cause,
    named: Named,
    /// Offsets of those that have not come back yet; there may be others between them.
    first: i64,
    last: i64,
    /// Until when the last of them has probably come back.
    until: Instant,
}

impl Place {
    /// A reply in `lane`, received at `origin`, read from the tier `at`.
    pub(crate) fn new(lane: u64, origin: &Origin, named: Named, at: Option<usize>) -> Self {
        let mut hasher = FxHasher::default();
        (lane, &*origin.topic, origin.partition).hash(&mut hasher);
        Self { key: hasher.finish(), offset: origin.offset, named, at }
    }
}

impl Postponed {
    /// Whether no reply waits on a retry topic. Cheap.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.count.load(Ordering::Relaxed) == 0
    }

    /// The last reply that waits on a retry topic and was written before this one, whose turn has come. What came before it on
    /// its own retry topic has come back by then.
    pub(crate) fn ahead_of(&self, place: Place, now: Instant) -> Option<Ahead> {
        self.with(now, |table| {
            let runs = table.activities.get_mut(&place.key)?;
            if let Some(own) = runs.iter_mut().find(|run| run.has(place)) {
                own.first = place.offset;
            }
            let earlier = runs.iter().filter(|run| run.first < place.offset && run.named.may_be(&place.named));
            let last = earlier.max_by_key(|run| run.last.min(place.offset - 1))?;
            Some(Ahead { tier: last.tier, cause: last.cause })
        })
    }

    /// A reply has left for a retry topic, from which it has probably come back by `until`.
    pub(crate) fn left(&self, place: Place, ahead: Ahead, until: Instant, now: Instant) {
        self.with(now, |table| table.leave(place, ahead, until));
    }

    /// A reply has reached its end.
    pub(crate) fn ended(&self, place: Place, now: Instant) {
        #[cfg(test)]
        if self.0.breaks.load(Ordering::Relaxed) {
            // Past the panic hook: its backtraces are noise here, and slow.
            std::panic::resume_unwind(Box::new("the table was told to panic"));
        }
        self.with(now, |table| table.come_back(place));
    }

    /// From now on, taking note of an end panics.
    #[cfg(test)]
    pub(crate) fn breaks(&self) {
        self.0.breaks.store(true, Ordering::Relaxed);
    }

    fn with<R>(&self, now: Instant, act: impl FnOnce(&mut Table) -> R) -> R {
        let mut table: MutexGuard<'_, Table> = self.0.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.forget(now);
        let result = act(&mut table);
        self.0.count.store(table.activities.len(), Ordering::Relaxed);
        result
    }
}

impl Table {
    fn leave(&mut self, place: Place, ahead: Ahead, until: Instant) {
        self.come_back(place);
        if !self.activities.contains_key(&place.key) && self.activities.len() >= MAX_ACTIVITIES {
            self.make_room();
        }
        let runs = self.activities.entry(place.key).or_default();
        let fits = |run: &&mut Run| {
            (run.tier, run.cause, run.named) == (ahead.tier, ahead.cause, place.named) && run.last < place.offset
        };
        // Not one that is moved on at the moment, but the one behind it, if this reply comes from the reply topic.
        if let Some(run) = runs.iter_mut().filter(fits).max_by_key(|run| run.last) {
            (run.last, run.until) = (place.offset, run.until.max(until));
            return;
        }
        if runs.len() >= MAX_RUNS
            && let Some(at) = (0..runs.len()).min_by_key(|at| runs[*at].until)
        {
            runs.swap_remove(at);
        }
        let (Ahead { tier, cause }, Place { offset, named, .. }) = (ahead, place);
        runs.push(Run { tier, cause, named, first: offset, last: offset, until });
        self.due.push(Reverse((until, place.key)));
        // Of activities that are done with there are entries left.
        if self.due.len() > 4 * MAX_ACTIVITIES {
            let runs = self.activities.iter().flat_map(|(key, runs)| runs.iter().map(|run| Reverse((run.until, *key))));
            self.due = runs.collect();
        }
    }

    /// A reply that was read from a retry topic is not there any more, nor is what came before it there.
    fn come_back(&mut self, place: Place) {
        let Entry::Occupied(mut runs) = self.activities.entry(place.key) else { return };
        if let Some(run) = runs.get_mut().iter_mut().find(|run| run.has(place)) {
            run.first = place.offset.saturating_add(1);
        }
        runs.get_mut().retain(|run| run.first <= run.last);
        if runs.get().is_empty() {
            runs.remove();
        }
    }

    /// Forgets what has come back by now, here or in another process.
    fn forget(&mut self, now: Instant) {
        while let Some(Reverse((until, key))) = self.due.peek().copied()
            && until <= now
        {
            self.due.pop();
            let Entry::Occupied(mut runs) = self.activities.entry(key) else { continue };
            runs.get_mut().retain(|run| run.until > now);
            match runs.get().iter().map(|run| run.until).min() {
                // It was made later since.
                Some(next) => self.due.push(Reverse((next, key))),
                None => _ = runs.remove(),
            }
        }
    }

    fn make_room(&mut self) {
        while let Some(Reverse((_, key))) = self.due.pop() {
            if self.activities.remove(&key).is_some() {
                return;
            }
        }
    }
}

impl Run {
    /// Whether a reply that was read from a retry topic is one of these.
    fn has(&self, place: Place) -> bool {
        place.at == Some(self.tier) && self.named == place.named && (self.first..=self.last).contains(&place.offset)
    }
}

#[cfg(test)]
#[path = "postponed_tests.rs"]
mod tests;
