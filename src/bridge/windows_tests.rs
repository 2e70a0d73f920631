//! What is in hand is bounded, over all and for each partition.

use std::rc::Rc;

use proptest::prelude::*;

use super::*;

/// Bytes of a record that counts as `size` with what it takes beside them.
const fn of(size: usize) -> usize {
    size - RECORD_OVERHEAD
}

fn slot(windows: &Rc<Windows>, life: &Rc<Life>) -> Option<Slot> {
    windows.try_slot(windows.ask(life)).ok()
}

#[test]
fn records_and_bytes_in_hand_are_bounded() {
    let windows = Windows::new(2, 2, 10_000);
    let lives: [Rc<Life>; 3] = Default::default();
    let first = windows.try_room(&lives[0], of(6_000)).expect("room");
    assert_eq!(windows.try_room(&lives[1], of(6_000)).expect_err("too many bytes"), Full::All);
    assert_eq!(windows.try_room(&lives[0], of(1_000)).expect_err("it has its share"), Full::Share);
    let second = windows.try_room(&lives[1], of(4_000)).expect("room");
    assert_eq!(windows.in_hand(), (2, 10_000));
    drop((first, second));
    let alone = windows.try_room(&lives[2], 100_000);
    assert!(alone.is_ok(), "a huge record goes alone, not never");
    assert!(windows.try_room(&lives[0], 1).is_err());
    let slots = (slot(&windows, &lives[0]), slot(&windows, &lives[0]));
    assert!(slots.0.is_some() && slots.1.is_some());
    assert!(slot(&windows, &lives[0]).is_none(), "too many calls");
}

#[tokio::test]
async fn a_record_in_back_off_leaves_its_place_to_others() {
    let windows = Windows::new(1, 1, 100);
    let life = Rc::default();
    let mut waiting = slot(&windows, &life).expect("room");
    waiting.park();
    let mut other = slot(&windows, &life).expect("the place was given up");
    other.park();
    assert!(slot(&windows, &life).is_none(), "the back-off window is bounded too: the second keeps its place");
    drop(other);
    waiting.unpark().await;
    waiting.start_recording();
    assert!(slot(&windows, &life).is_some(), "outcomes are written outside the window of calls");
}

/// Has a record of this partition called and looked up, if it may be.
fn look_up(windows: &Rc<Windows>, life: &Rc<Life>) -> Option<Slot> {
    let mut slot = windows.may_ask(life).then(|| slot(windows, life))??;
    slot.look();
    Some(slot)
}

#[test]
fn partitions_whose_records_are_looked_up_leave_places_and_room_to_the_others() {
    let windows = Windows::new(256, 4_096, 32 << 20);
    let first: Rc<Life> = Rc::default();
    let mut held: Vec<_> = std::iter::from_fn(|| look_up(&windows, &first)).collect();
    assert_eq!(held.len(), 321, "more than fills the window of calls, which is free all the same");
    let crowded: [Rc<Life>; 29] = Default::default();
    let mut before = usize::MAX;
    while held.len() != before {
        before = held.len();
        crowded.iter().for_each(|life| held.extend(look_up(&windows, life)));
    }
    assert!(held.len() <= 642, "{} in all", held.len());
    let well: Rc<Life> = Rc::default();
    assert!(windows.may_ask(&well) && slot(&windows, &well).is_some());
    held.clear();
    assert_eq!((windows.asking.get(), first.share.asking.get()), (0, 0));
}

/// Has a record of this partition taken up and written, if it may be.
fn write(windows: &Rc<Windows>, life: &Rc<Life>, size: usize) -> Option<(Slot, Room)> {
    let room = windows.may_record(life).then(|| windows.try_room(life, size).ok())??;
    let mut slot = slot(windows, life).expect("a place");
    slot.start_recording();
    Some((slot, room))
}

#[test]
fn partitions_that_cannot_be_written_leave_room_for_the_others() {
    let windows = Windows::new(10_000, 4_096, 32 << 20);
    let stuck: [Rc<Life>; 30] = Default::default();
    let mut held = Vec::new();
    let mut before = usize::MAX;
    while held.len() != before {
        before = held.len();
        stuck.iter().for_each(|life| held.extend(write(&windows, life, 8_000)));
    }
    let well: Rc<Life> = Rc::default();
    let of_it: Vec<_> = std::iter::from_fn(|| write(&windows, &well, 8_000)).collect();
    assert!(of_it.len() > 50, "{} beside {}", of_it.len(), held.len());
    // Those that come to it one after the other leave less, and never nothing.
    held.extend(of_it);
    let others: Vec<Rc<Life>> = (0..100).map(|_| Rc::default()).collect();
    assert!(others.iter().all(|life| write(&windows, life, 100).map(|written| held.push(written)).is_some()));
}

proptest! {
    /// What is taken is given back, whatever the order, and one partition alone has never more than a third of the records, or half of the bytes.
    #[test]
    fn shares_are_neither_made_nor_lost(
        steps in proptest::collection::vec((0usize..4, any::<bool>(), 1usize..4_000, any::<prop::sample::Index>()), 1..200),
    ) {
        let windows = Windows::new(1_000, 30, 30_000);
        let lives: [Rc<Life>; 4] = Default::default();
        let mut held = Vec::new();
        for (partition, take, size, index) in steps {
            if take {
                let life = &lives[partition];
                held.extend(write(&windows, life, size));
                prop_assert!(life.share.recording.get() <= 11);
                prop_assert!(life.share.bytes.get() <= 15_000);
            } else if !held.is_empty() {
                drop(held.swap_remove(index.index(held.len())));
            }
            prop_assert_eq!(windows.recording.get(), held.len());
            prop_assert!(windows.bytes.get() <= 30_000);
        }
        drop(held);
        prop_assert_eq!((windows.recording.get(), windows.in_hand()), (0, (0, 0)));
    }
}
