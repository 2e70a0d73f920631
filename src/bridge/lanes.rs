//! Order per activity: records of one activity are worked on one after the other, different activities never wait for
//! each other.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

/// Heartbeats of different attempts that may wait in one lane. An activity has one live attempt, and late heartbeats of a few
/// that are over.
const MAX_BEATS: usize = 16;

/// What is worked on in lanes.
pub trait Laned {
    /// What tells heartbeats of one attempt from those of others; `None` for anything but a heartbeat.
    type Beat: Copy + Ord;

    /// Of which attempt it is a heartbeat, if it is one.
    fn beat(&self) -> Option<Self::Beat>;
}

/// What became of work that asked to be done in a lane.
#[derive(Debug, PartialEq, Eq)]
pub enum Entered<T> {
    /// The lane was free: start it now, and call [`Lanes::leave`] at its end.
    Starts(T),
    /// It waits behind earlier work.
    Waits,
    /// The same, and an older heartbeat that waited has nothing left to say and is taken out.
    Replaces(T),
}

/// How many there are in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupied {
    /// Nothing is running.
    No,
    /// There is one running, and room behind it.
    Some,
    /// As many answers wait as should.
    Full,
}

/// Lanes by key. A lane exists exactly while work of it is running.
#[derive(Debug)]
pub struct Lanes<T> {
    lanes: FxHashMap<u64, Lane<T>>,
    max_depth: usize,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<T>,
    /// Heartbeats among them.
    beats: usize,
}

impl<T> Lane<T> {
    fn answers(&self) -> usize {
        self.waiting.len() - self.beats
    }
}

impl<T: Laned> Lanes<T> {
    /// Lanes in which at most `max_depth` answers are to wait behind the one that is running.
    #[must_use]
    pub fn new(max_depth: usize) -> Self {
        Self { lanes: FxHashMap::default(), max_depth }
    }

    /// How many there are in `lane`.
    #[must_use]
    pub fn occupied(&self, lane: u64) -> Occupied {
        match self.lanes.get(&lane) {
            None => Occupied::No,
            Some(lane) if lane.answers() < self.max_depth => Occupied::Some,
            Some(_) => Occupied::Full,
        }
    }

    /// Whether more answers wait in `lane` than should.
    #[must_use]
    pub fn is_crowded(&self, lane: u64) -> bool {
        self.lanes.get(&lane).is_some_and(|lane| lane.answers() > self.max_depth)
    }

    /// Asks to work in `lane`. Of the heartbeats of one attempt only the newest waits, at its own place in the order.
    pub fn enter(&mut self, lane: u64, work: T) -> Entered<T> {
        let Some(lane) = self.lanes.get_mut(&lane) else {
            self.lanes.insert(lane, Lane { waiting: VecDeque::new(), beats: 0 });
            return Entered::Starts(work);
        };
        let overtaken = work.beat().and_then(|beat| lane.overtaken_by(beat));
        lane.beats += usize::from(work.beat().is_some());
        lane.waiting.push_back(work);
        overtaken.map_or(Entered::Waits, Entered::Replaces)
    }

    /// The running work of `lane` has ended: the next one, which starts now, if there is any.
    pub fn leave(&mut self, lane: u64) -> Option<T> {
        let there = self.lanes.get_mut(&lane)?;
        let next = there.waiting.pop_front();
        match &next {
            Some(work) => there.beats -= usize::from(work.beat().is_some()),
            None => _ = self.lanes.remove(&lane),
        }
        next
    }

    /// Takes out all waiting work for which `gone` holds. Running work is not touched.
    pub fn remove(&mut self, mut gone: impl FnMut(&T) -> bool) {
        for lane in self.lanes.values_mut() {
            lane.waiting.retain(|work| !gone(work));
            lane.beats = lane.waiting.iter().filter(|work| work.beat().is_some()).count();
        }
    }
}

impl<T: Laned> Lane<T> {
    /// Takes out what a new heartbeat makes needless: the one of its attempt that waits. Where too many of other attempts wait,
    /// the one of the lowest attempt: it is over for longest.
    fn overtaken_by(&mut self, beat: T::Beat) -> Option<T> {
        if self.beats == 0 {
            return None;
        }
        let same = self.waiting.iter().rposition(|work| work.beat() == Some(beat));
        let at = match same {
            None if self.beats >= MAX_BEATS => {
                let beats = self.waiting.iter().enumerate().filter_map(|(at, work)| Some((work.beat()?, at)));
                beats.min().map(|(_, at)| at)
            }
            same => same,
        };
        let overtaken = self.waiting.remove(at?);
        self.beats -= usize::from(overtaken.is_some());
        overtaken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// A number, and the attempt of which it is a heartbeat.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Item(usize, Option<u32>);

    impl Laned for Item {
        type Beat = u32;

        fn beat(&self) -> Option<u32> {
            self.1
        }
    }

    const fn answer(number: usize) -> Item {
        Item(number, None)
    }

    const fn beat(number: usize, attempt: u32) -> Item {
        Item(number, Some(attempt))
    }

    #[test]
    fn one_activity_is_answered_in_order_and_others_do_not_wait() {
        let mut lanes = Lanes::new(2);
        assert_eq!(lanes.enter(1, answer(1)), Entered::Starts(answer(1)));
        assert_eq!(lanes.enter(1, answer(2)), Entered::Waits);
        assert_eq!(lanes.enter(2, answer(9)), Entered::Starts(answer(9)), "another activity");
        assert_eq!(lanes.occupied(1), Occupied::Some);
        assert_eq!(lanes.enter(1, answer(3)), Entered::Waits);
        let occupied = [1, 2, 3].map(|lane| lanes.occupied(lane));
        assert_eq!(occupied, [Occupied::Full, Occupied::Some, Occupied::No], "depth cap, by lane");
        assert!(!lanes.is_crowded(1));
        assert_eq!(lanes.enter(1, answer(4)), Entered::Waits);
        assert!(lanes.is_crowded(1) && !lanes.is_crowded(2));
        assert_eq!(lanes.leave(1), Some(answer(2)));
        assert!(lanes.occupied(1) == Occupied::Full && !lanes.is_crowded(1));
        assert_eq!([lanes.leave(1), lanes.leave(1), lanes.leave(1)], [Some(answer(3)), Some(answer(4)), None]);
        assert_eq!(lanes.enter(1, answer(5)), Entered::Starts(answer(5)), "the lane was given back");
    }

    #[test]
    fn of_waiting_heartbeats_of_one_attempt_only_the_newest_is_sent_and_it_fills_no_lane() {
        let mut lanes = Lanes::new(2);
        lanes.enter(1, beat(0, 1));
        assert_eq!(lanes.enter(1, beat(1, 1)), Entered::Waits, "the first is running");
        assert_eq!(lanes.enter(1, answer(2)), Entered::Waits);
        assert_eq!(lanes.enter(1, beat(3, 0)), Entered::Waits, "a stale one of another attempt drops nothing");
        assert_eq!(lanes.enter(1, beat(4, 1)), Entered::Replaces(beat(1, 1)));
        assert!((5..20_000).all(|n| lanes.enter(1, beat(n, 1)) == Entered::Replaces(beat(n - 1, 1))));
        assert_eq!(lanes.occupied(1), Occupied::Some, "one answer waits");
        let left = [lanes.leave(1), lanes.leave(1), lanes.leave(1), lanes.leave(1)];
        assert_eq!(left, [Some(answer(2)), Some(beat(3, 0)), Some(beat(19_999, 1)), None], "in their order");
    }

    #[test]
    fn heartbeats_of_ever_new_attempts_are_bounded() {
        let mut lanes = Lanes::new(2);
        lanes.enter(1, answer(0));
        let entered: Vec<_> = (1..100).map(|n| lanes.enter(1, beat(n as usize, n))).collect();
        assert!(entered[..MAX_BEATS].iter().all(|entered| *entered == Entered::Waits));
        assert_eq!(entered[MAX_BEATS], Entered::Replaces(beat(1, 1)), "the attempt that is over for longest");
        assert_eq!(std::iter::from_fn(|| lanes.leave(1)).count(), MAX_BEATS);
    }

    #[test]
    fn removed_work_never_starts() {
        let mut lanes = Lanes::new(8);
        lanes.enter(1, answer(1));
        lanes.enter(1, beat(2, 0));
        lanes.enter(1, answer(3));
        lanes.remove(|work| work.0 == 2);
        assert_eq!(lanes.enter(1, beat(4, 0)), Entered::Waits);
        assert_eq!(lanes.leave(1), Some(answer(3)));
    }

    proptest! {
        /// Every piece of work that was not taken out starts exactly once, in order within its lane, and never while
        /// another one of its lane runs.
        #[test]
        fn lanes_keep_order(
            arrivals in proptest::collection::vec((0u64..4, any::<bool>(), proptest::option::of(0u32..3)), 1..200),
        ) {
            let mut lanes = Lanes::new(5);
            let mut running: HashMap<u64, Item> = HashMap::new();
            let mut started: HashMap<u64, Vec<Item>> = HashMap::new();
            let mut accepted: HashMap<u64, Vec<Item>> = HashMap::new();
            for (id, (lane, finish, attempt)) in arrivals.into_iter().enumerate() {
                let item = Item(id, attempt);
                if attempt.is_some() || lanes.occupied(lane) != Occupied::Full {
                    let accepted = accepted.entry(lane).or_default();
                    accepted.push(item);
                    match lanes.enter(lane, item) {
                        Entered::Starts(work) => {
                            prop_assert!(running.insert(lane, work).is_none());
                            started.entry(lane).or_default().push(work);
                        }
                        Entered::Waits => {}
                        Entered::Replaces(older) => {
                            prop_assert_eq!(older.1, attempt);
                            accepted.retain(|item| *item != older);
                        }
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
            prop_assert!(lanes.lanes.is_empty());
        }
    }
}
