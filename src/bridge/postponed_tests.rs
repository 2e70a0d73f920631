//! Who waits behind whom, against the plainest model: all replies that left, one by one.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::wire::{ActivityId, Target};

fn named(attempt: Option<i64>) -> Named {
    Named::of(&Target::ById(ActivityId {
        domain: "orders".to_owned(),
        workflow_id: "w".to_owned(),
        run_id: "r".to_owned(),
        activity_id: "a".to_owned(),
        attempt,
    }))
}

fn place(offset: i64, attempt: Option<i64>, at: Option<usize>) -> Place {
    place_in(7, offset, attempt, at)
}

fn place_in(lane: u64, offset: i64, attempt: Option<i64>, at: Option<usize>) -> Place {
    let origin = Origin { topic: "replies".into(), partition: 3, offset, timestamp_ms: None };
    Place::new(lane, &origin, named(attempt), at)
}

const FAILING: fn(usize) -> Ahead = |tier| Ahead { tier, cause: Cause::Failing };

#[tokio::test(start_paused = true)]
async fn later_replies_follow_and_earlier_ones_do_not() {
    let (postponed, now) = (Postponed::default(), Instant::now());
    let until = now + Duration::from_secs(60);
    assert!(postponed.is_empty());
    postponed.left(place(10, Some(0), None), FAILING(0), until, now);
    let ahead = |offset, attempt, at| postponed.ahead_of(place(offset, attempt, at), now).map(|ahead| ahead.tier);
    assert_eq!(ahead(11, Some(0), None), Some(0));
    assert_eq!(
        (ahead(9, Some(0), None), ahead(10, Some(0), None)),
        (None, None),
        "nobody follows itself or a later one"
    );
    assert_eq!(ahead(11, Some(1), None), None, "another attempt");
    assert_eq!(ahead(11, None, None), Some(0), "whichever is current, it may be the same");
    assert_eq!(postponed.ahead_of(place_in(8, 11, Some(0), None), now), None, "another activity");
    // It comes back, and moves on.
    assert_eq!(ahead(10, Some(0), Some(0)), None);
    postponed.left(place(11, Some(0), None), FAILING(0), until, now);
    postponed.left(place(10, Some(0), Some(0)), FAILING(1), until, now);
    assert_eq!(ahead(11, Some(0), Some(0)), Some(1), "the one behind it moves on too");
    assert_eq!(ahead(12, Some(0), None), Some(0), "behind the last");
    postponed.left(place(11, Some(0), Some(0)), FAILING(1), until, now);
    assert_eq!(ahead(12, Some(0), None), Some(1));
    postponed.ended(place(10, Some(0), Some(1)), now);
    assert_eq!(ahead(11, Some(0), Some(1)), None);
    postponed.ended(place(11, Some(0), Some(1)), now);
    assert!(postponed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_handled_in_another_process_is_forgotten_in_time() {
    let (postponed, now) = (Postponed::default(), Instant::now());
    for offset in 0..3 {
        let then = now + Duration::from_secs(offset);
        postponed.left(place(offset as i64, Some(0), None), FAILING(0), then + Duration::from_secs(60), then);
    }
    let late = now + Duration::from_secs(61);
    assert_eq!(postponed.ahead_of(place(9, Some(0), None), late), Some(FAILING(0)));
    assert_eq!(postponed.ahead_of(place(9, Some(0), None), late + Duration::from_secs(1)), None);
    assert!(postponed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded() {
    let (postponed, now) = (Postponed::default(), Instant::now());
    let until = |n: u64| now + Duration::from_millis(60_000 + n);
    for lane in 0..MAX_ACTIVITIES as u64 + 100 {
        postponed.left(place_in(lane, 1, Some(0), None), FAILING(0), until(lane), now);
    }
    let ahead = |lane: u64| postponed.ahead_of(place_in(lane, 2, Some(0), None), now);
    assert_eq!(postponed.0.count.load(Ordering::Relaxed), MAX_ACTIVITIES);
    assert_eq!((ahead(99), ahead(100)), (None, Some(FAILING(0))), "those that are due first were forgotten");
    for attempt in 0..1000 {
        postponed.left(place_in(5, 10, Some(attempt), None), FAILING(0), until(attempt as u64), now);
    }
    assert!(postponed.0.table.lock().unwrap().activities.values().all(|runs| runs.len() <= MAX_RUNS));
}

#[tokio::test(start_paused = true)]
async fn activities_that_are_done_leave_nothing_behind() {
    let (postponed, now) = (Postponed::default(), Instant::now());
    let until = now + Duration::from_secs(3600);
    for lane in 0..5 * MAX_ACTIVITIES as u64 {
        postponed.left(place_in(lane, 1, Some(0), None), FAILING(0), until, now);
        postponed.ended(place_in(lane, 1, Some(0), Some(0)), now);
    }
    assert!(postponed.is_empty());
    assert!(postponed.0.table.lock().unwrap().due.len() <= 4 * MAX_ACTIVITIES + 1);
}

proptest! {
    /// Two topics of one process, each read in order; replies leave, come back and end. Whoever's turn it is follows exactly
    /// when a reply that was written earlier waits somewhere, and to where the last such one waits.
    #[test]
    fn agrees_with_the_plainest_model(steps in proptest::collection::vec((0usize..3, any::<bool>(), 0usize..2), 1..300)) {
        let (postponed, now) = (Postponed::default(), Instant::now());
        let until = now + Duration::from_secs(60);
        let mut next = 0;
        let mut topics: [std::collections::VecDeque<i64>; 2] = Default::default();
        for (from, leaves, to) in steps {
            let (offset, at) = match from.checked_sub(1) {
                None => { next += 1; (next, None) }
                Some(tier) => match topics[tier].pop_front() {
                    Some(offset) => (offset, Some(tier)),
                    None => continue,
                },
            };
            let earlier = |topic: &std::collections::VecDeque<i64>| topic.iter().copied().filter(|o| *o < offset).max();
            let last = (0..2).filter_map(|tier| Some((earlier(&topics[tier])?, tier))).max();
            let ahead = postponed.ahead_of(place(offset, Some(0), at), now);
            prop_assert_eq!(ahead.is_some(), last.is_some());
            let tier = ahead.map(|ahead| ahead.tier).or(leaves.then_some(to));
            match tier {
                Some(tier) => {
                    postponed.left(place(offset, Some(0), at), FAILING(tier), until, now);
                    topics[tier].push_back(offset);
                }
                None => postponed.ended(place(offset, Some(0), at), now),
            }
        }
    }
}
