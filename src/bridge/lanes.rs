//! Order per activity: records of one activity are worked on one after the other, different activities never wait for
//! each other.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

/// Lanes by key. A lane exists exactly while work of it is running.
#[derive(Debug)]
pub struct Lanes<T> {
    waiting: FxHashMap<u64, VecDeque<T>>,
    max_depth: usize,
}

impl<T> Lanes<T> {
    /// Lanes in which at most `max_depth` wait behind the one that is running.
    #[must_use]
    pub fn new(max_depth: usize) -> Self {
        Self { waiting: FxHashMap::default(), max_depth }
    }

    /// Whether as many wait in `lane` as may.
    #[must_use]
    pub fn is_full(&self, lane: u64) -> bool {
        self.waiting.get(&lane).is_some_and(|queue| queue.len() >= self.max_depth)
    }

    /// Asks to work in `lane`. Gives the work back when the lane was free: start it now, and call [`Lanes::leave`] at its
    /// end. Otherwise it waits behind earlier work; ask [`Lanes::is_full`] first.
    pub fn enter(&mut self, lane: u64, work: T) -> Option<T> {
        match self.waiting.get_mut(&lane) {
            None => {
                self.waiting.insert(lane, VecDeque::new());
                Some(work)
            }
            Some(queue) => {
                queue.push_back(work);
                None
            }
        }
    }

    /// The running work of `lane` has ended: the next one, which starts now, if there is any.
    pub fn leave(&mut self, lane: u64) -> Option<T> {
        let next = self.waiting.get_mut(&lane)?.pop_front();
        if next.is_none() {
            self.waiting.remove(&lane);
        }
        next
    }

    /// What waits in `lane`, in order.
    pub fn waiting(&self, lane: u64) -> impl Iterator<Item = &T> {
        self.waiting.get(&lane).into_iter().flatten()
    }

    /// Takes out all waiting work for which `gone` holds. Running work is not touched.
    pub fn remove(&mut self, mut gone: impl FnMut(&T) -> bool) {
        for queue in self.waiting.values_mut() {
            queue.retain(|work| !gone(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_activity_is_answered_in_order_and_others_do_not_wait() {
        let mut lanes = Lanes::new(2);
        assert_eq!(lanes.enter(1, "a1"), Some("a1"));
        assert_eq!(lanes.enter(1, "a2"), None);
        assert_eq!(lanes.enter(2, "b1"), Some("b1"), "another activity");
        assert!(!lanes.is_full(1));
        assert_eq!(lanes.enter(1, "a3"), None);
        assert!(lanes.is_full(1) && !lanes.is_full(2) && !lanes.is_full(3), "depth cap, by lane");
        assert_eq!(lanes.leave(1), Some("a2"));
        assert_eq!(lanes.leave(1), Some("a3"));
        assert_eq!(lanes.leave(1), None);
        assert_eq!(lanes.enter(1, "a5"), Some("a5"), "the lane was given back");
    }

    #[test]
    fn removed_work_never_starts() {
        let mut lanes = Lanes::new(8);
        lanes.enter(1, 1);
        lanes.enter(1, 2);
        lanes.enter(1, 3);
        lanes.remove(|work| *work == 2);
        assert_eq!(lanes.leave(1), Some(3));
    }

    proptest! {
        /// Every piece of work that was not refused starts exactly once, in order within its lane, and never while
        /// another one of its lane runs.
        #[test]
        fn lanes_keep_order(arrivals in proptest::collection::vec((0u64..4, any::<bool>()), 1..200)) {
            let mut lanes = Lanes::new(5);
            let mut running: HashMap<u64, usize> = HashMap::new();
            let mut started: HashMap<u64, Vec<usize>> = HashMap::new();
            let mut accepted: HashMap<u64, Vec<usize>> = HashMap::new();
            for (id, (lane, finish)) in arrivals.into_iter().enumerate() {
                if !lanes.is_full(lane) {
                    accepted.entry(lane).or_default().push(id);
                    if let Some(work) = lanes.enter(lane, id) {
                        prop_assert!(running.insert(lane, work).is_none());
                        started.entry(lane).or_default().push(work);
                    }
                }
                if finish && running.remove(&lane).is_some() && let Some(next) = lanes.leave(lane) {
                    running.insert(lane, next);
                    started.entry(lane).or_default().push(next);
                }
            }
            for lane in 0..4 {
                while running.remove(&lane).is_some() {
                    if let Some(next) = lanes.leave(lane) {
                        running.insert(lane, next);
                        started.entry(lane).or_default().push(next);
                    }
                }
            }
            prop_assert_eq!(started, accepted);
            prop_assert!(lanes.waiting.is_empty());
        }
    }
}
