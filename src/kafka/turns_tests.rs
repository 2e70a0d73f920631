use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::wire::Headers;

const LINGER: Duration = Duration::from_millis(5);
/// Room for ten records of [`record`].
const MAX_BYTES: usize = 10 * (OVERHEAD + 36);

fn record(partition: Option<i32>, number: usize) -> OutRecord {
    let value = Some(Bytes::from(format!("{number:036}")));
    OutRecord { topic: "outcomes".into(), partition, key: None, value, headers: Headers::new() }
}

fn turns() -> Turns {
    Turns::new(LINGER, MAX_BYTES)
}

/// Enters this many records of partition 0; says how many were given back at once.
fn enter(turns: &Turns, records: usize, now: Instant) -> usize {
    (0..records).filter(|number| turns.enter(record(Some(0), *number), *number, now).is_some()).count()
}

#[test]
fn few_records_never_wait() {
    let (turns, now) = (turns(), Instant::now());
    assert_eq!(enter(&turns, 1, now), 1);
    assert_eq!(
        enter(&turns, FEW - 1, now + 10 * LINGER),
        FEW - 1,
        "long after the turn, as the client would send them"
    );
    assert_eq!(enter(&turns, 1, now + 10 * LINGER), 0);
}

#[test]
fn a_turn_lasts_as_long_as_the_client_gathers_and_takes_no_more_than_a_batch() {
    let (turns, now) = (turns(), Instant::now());
    assert_eq!(enter(&turns, 7, now), 7);
    assert_eq!(enter(&turns, 7, now + LINGER / 2), 3, "ten fill a batch");
    let turns = self::turns();
    assert_eq!(enter(&turns, 7, now), 7);
    assert_eq!(enter(&turns, 1, now + LINGER), 0, "the batch is on its way");
}

#[test]
fn the_next_turn_begins_when_all_of_the_last_were_told() {
    let (turns, now) = (turns(), Instant::now());
    assert_eq!(enter(&turns, 25, now), 10);
    assert!((0..9).all(|_| !turns.told(Lane(0))) && turns.next(now).is_none());
    assert!(turns.told(Lane(0)));
    let (lane, turn) = turns.next(now).unwrap();
    assert_eq!(turn.len(), 10, "a batch, not all that wait");
    assert!(turns.enter(record(Some(0), 99), 99, now).is_none(), "it would overtake");
    turns.handed(lane, Vec::new());
    assert!(turns.next(now).is_none() && !turns.is_empty());
}

#[test]
fn what_the_client_has_no_room_for_comes_first_in_a_later_turn() {
    let (turns, now) = (turns(), Instant::now());
    enter(&turns, 12, now);
    (0..10).for_each(|_| _ = turns.told(Lane(0)));
    let (lane, turn) = turns.next(now).unwrap();
    turns.handed(lane, turn);
    let places: Vec<_> = turns.next(now).unwrap().1.into_iter().map(|(_, place)| place).collect();
    assert_eq!(places, [10, 11]);
}

#[test]
fn a_record_without_partition_waits_for_nobody() {
    let turns = turns();
    for number in 0..100 {
        let (_, lane) = turns.enter(record(None, number), number, Instant::now()).unwrap();
        assert_eq!(Lane::parse(lane.with(number)), (lane, number));
    }
    assert!(!turns.told(Lane::NONE) && turns.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    /// Records of a partition enter.
    Enter(i32, usize),
    /// The client tells of this many of the oldest records of a partition.
    Tell(i32, usize),
    /// Time passes.
    Wait(u64),
    /// The next handing over finds room for only so many.
    Room(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3, 1..30usize).prop_map(|(partition, records)| Step::Enter(partition, records)),
        (0..3, 1..30usize).prop_map(|(partition, records)| Step::Tell(partition, records)),
        (0..8u64).prop_map(Step::Wait),
        (0..20usize).prop_map(Step::Room),
    ]
}

/// A client that takes what it is given.
struct Client {
    turns: Turns,
    now: Instant,
    room: usize,
    entered: usize,
    /// By partition: places in the order in which the client has them, not told yet.
    queued: BTreeMap<i32, VecDeque<(Lane, usize)>>,
    /// All that it was ever given.
    given: BTreeMap<i32, Vec<usize>>,
}

impl Client {
    fn take(&mut self, record: &OutRecord, lane: Lane, place: usize) {
        let partition = record.partition.unwrap();
        self.queued.entry(partition).or_default().push_back((lane, place));
        self.given.entry(partition).or_default().push(place);
    }

    fn enter(&mut self, partition: i32) {
        let place = self.entered;
        self.entered += 1;
        if let Some((record, lane)) = self.turns.enter(record(Some(partition), place), place, self.now) {
            self.take(&record, lane, place);
        }
    }

    fn tell(&mut self, partition: i32) {
        let Some((lane, _)) = self.queued.entry(partition).or_default().pop_front() else { return };
        if !self.turns.told(lane) {
            return;
        }
        while let Some((lane, mut turn)) = self.turns.next(self.now) {
            // It is full of something: otherwise the client tells of it again later.
            let full = self.queued.values().any(|queue| !queue.is_empty());
            let room = if full { std::mem::replace(&mut self.room, usize::MAX) } else { usize::MAX };
            let rest = turn.split_off(turn.len().min(room));
            turn.iter().for_each(|(record, place)| self.take(record, lane, *place));
            let full = !rest.is_empty();
            self.turns.handed(lane, rest);
            if full {
                return;
            }
        }
    }
}

proptest! {
    #[test]
    fn every_record_is_given_once_and_in_order_whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        let mut client = Client {
            turns: turns(), now: Instant::now(), room: usize::MAX, entered: 0,
            queued: BTreeMap::new(), given: BTreeMap::new(),
        };
        for step in steps {
            match step {
                Step::Enter(partition, records) => (0..records).for_each(|_| client.enter(partition)),
                Step::Tell(partition, records) => (0..records).for_each(|_| client.tell(partition)),
                Step::Wait(ms) => client.now += Duration::from_millis(ms),
                Step::Room(room) => client.room = room,
            }
        }
        // Whatever the client has it tells of sooner or later, and something is always told while something waits.
        client.room = usize::MAX;
        while client.queued.values().any(|queue| !queue.is_empty()) {
            (0..3).for_each(|partition| client.tell(partition));
        }
        prop_assert!(client.turns.is_empty());
        let given: usize = client.given.values().map(Vec::len).sum();
        prop_assert_eq!(given, client.entered);
        prop_assert!(client.given.values().all(|places| places.is_sorted()));
    }
}

#[test]
fn after_a_batch_that_was_too_large_records_go_alone_until_it_is_seen_which_it_was() {
    let (turns, now) = (turns(), Instant::now());
    assert_eq!(enter(&turns, 3, now), 3);
    assert!(!turns.too_large(Lane(0), now), "it may have been any of the three");
    assert_eq!(enter(&turns, 2, now), 0, "the client has some of the batch yet");
    (0..3).for_each(|_| _ = turns.told(Lane(0)));
    for place in 0..2 {
        let (lane, turn) = turns.next(now).unwrap();
        assert_eq!(turn.iter().map(|(_, place)| *place).collect::<Vec<_>>(), [place], "one by one, in their order");
        turns.handed(lane, Vec::new());
        assert!(turns.next(now).is_none());
        assert!(turns.too_large(lane, now), "nobody else's size");
        turns.told(lane);
    }
    assert_eq!(enter(&turns, 3, now + ALONE_FOR), 3, "and later together again");
}

#[test]
fn records_without_a_partition_go_alone_as_well() {
    let (turns, now) = (turns(), Instant::now());
    let enter = |place| turns.enter(record(None, place), place, now);
    let lanes = [0, 1].map(|place| enter(place).unwrap().1);
    assert!(!turns.too_large(lanes[0], now));
    assert!(enter(2).is_none());
    assert!(!turns.told(lanes[0]) && turns.told(lanes[1]));
    let (lane, turn) = turns.next(now).unwrap();
    assert_eq!((lane, turn.len()), (lanes[0], 1));
}
