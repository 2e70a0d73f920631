use super::*;
use crate::kafka::positions::{self, OnGap};

fn at(position: i64) -> Place {
    Place { position: Some(position), committed: Some(position), ..Place::default() }
}

const P: PartitionId = PartitionId { topic: 0, partition: 3 };

fn one() -> Partitions {
    let mut partitions = Partitions::new(["replies".into()].into());
    partitions.assign(P, at(10));
    partitions
}

#[test]
fn epoch_separates_assignments() {
    let mut partitions = one();
    let first = partitions.read(P, 10, Some(0));
    partitions.revoke(P);
    assert_eq!(partitions.read(P, 11, Some(0)), None, "a record of a partition that left is not handed on");
    partitions.assign(P, at(11));
    assert_eq!((first, partitions.read(P, 11, Some(0))), (Some(1), Some(3)));
}

#[test]
fn store_never_falls_never_passes_the_unread_never_hits_what_left() {
    let mut partitions = one();
    for offset in 10..20 {
        partitions.read(P, offset, Some(0));
    }
    let may = |partitions: &Partitions, offset| partitions.storable(vec![(P, offset)]).0.len();
    assert_eq!([9, 10, 11, 20, 21].map(|o| may(&partitions, o)), [0, 0, 1, 1, 0]);
    partitions.stored(P, 15);
    partitions.committed(P, 15);
    assert_eq!([15, 16].map(|o| may(&partitions, o)), [0, 1]);
    partitions.revoke(P);
    assert_eq!(partitions.storable(vec![(P, 17)]), (vec![], 1));
}

#[test]
fn what_was_stored_and_is_not_committed_may_be_stored_again() {
    let mut partitions = one();
    for offset in 10..20 {
        partitions.read(P, offset, Some(0));
    }
    partitions.stored(P, 15);
    assert_eq!(partitions.uncommitted(), [(P, 15)]);
    assert_eq!(partitions.storable(vec![(P, 15)]).0.len(), 1);
    partitions.committed(P, 15);
    assert_eq!((partitions.uncommitted(), partitions.storable(vec![(P, 15)]).0.len()), (vec![], 0));
    partitions.stored(P, 16);
    partitions.revoke(P);
    assert_eq!(partitions.uncommitted(), [], "what left is not ours to commit");
}

#[test]
fn halted_partition_delivers_nothing_and_stores_only_what_was_read_before() {
    let mut partitions = one();
    partitions.read(P, 10, Some(0));
    partitions.restart(P, Place { halted: true, ..at(500) });
    assert_eq!(partitions.read(P, 500, Some(0)), None);
    assert_eq!(partitions.storable(vec![(P, 11)]).0.len(), 1);
    assert_eq!(partitions.storable(vec![(P, 501)]).0.len(), 0);
}

#[test]
fn a_partition_that_left_while_it_was_paused_is_resumed_when_it_comes_back() {
    let mut partitions = one();
    partitions.set_paused(&[P], true);
    assert_eq!(partitions.pause_changes(), (vec![P], vec![]));
    partitions.revoke(P);
    assert_eq!(partitions.pause_changes(), (vec![], vec![]), "it is not ours to resume");
    partitions.assign(P, at(7));
    assert_eq!(partitions.pause_changes(), (vec![], vec![P]));
    assert_eq!(partitions.pause_changes(), (vec![], vec![]), "once");
}

#[test]
fn a_partition_is_told_to_pause_once_and_resumed_only_when_no_reason_is_left() {
    let mut partitions = one();
    partitions.set_paused(&[P], true);
    partitions.set_choked(true);
    assert_eq!(partitions.pause_changes(), (vec![P], vec![]));
    partitions.set_choked(false);
    assert_eq!(partitions.pause_changes(), (vec![], vec![]), "the worker's pause still holds");
    partitions.set_paused(&[P], false);
    assert_eq!(partitions.pause_changes(), (vec![], vec![P]));
}

#[test]
fn a_log_is_asked_only_for_what_was_read_of_it() {
    let mut partitions = one();
    partitions.read(P, 10, Some(1));
    // A marker that the next leader has written.
    partitions.ended(P, 12);
    partitions.restart(P, at(12));
    assert_eq!(partitions.read(P, 12, Some(2)), None);
    assert_eq!(partitions.doubted(), [(P, 11, 1)], "under the former leader the log reached there");
}

#[test]
fn markers_behind_the_last_record_are_passed_once_all_before_them_is_settled() {
    let mut partitions = one();
    partitions.read(P, 10, Some(0));
    partitions.read(P, 11, Some(0));
    assert_eq!(partitions.ended(P, 14), None, "two records are not settled");
    let store = |partitions: &mut Partitions, offset| {
        let (stored, _) = partitions.storable(vec![(P, offset)]);
        stored.iter().for_each(|(id, offset)| partitions.stored(*id, *offset));
        stored.first().map(|(_, offset)| *offset)
    };
    assert_eq!(store(&mut partitions, 11), Some(11), "one is not");
    assert_eq!(store(&mut partitions, 12), Some(14));
    assert_eq!(partitions.settled(P), Some(14), "nothing is left of the lag");
    assert_eq!(store(&mut partitions, 12), None, "the worker knows of records only, and does not step back");
    assert_eq!(partitions.ended(P, 14), None, "told before");
    assert_eq!(partitions.ended(P, 17), Some(17), "nothing was handed on since");
    assert_eq!(partitions.note(P, 17).leader_epoch, None, "and who led then is not known");
}

#[test]
fn the_end_of_what_was_taken_back_passes_no_record_that_came_since() {
    let mut partitions = one();
    assert_eq!(partitions.ended(P, 13), Some(13), "nothing but markers from the start");
    partitions.stored(P, 13);
    partitions.read(P, 13, Some(0));
    assert_eq!(partitions.ended(P, 15), None);
    assert_eq!(partitions.storable(vec![(P, 13)]).0, [(P, 13)], "the start, not committed yet");
    partitions.committed(P, 13);
    assert_eq!(partitions.storable(vec![(P, 13)]).0, []);
    partitions.read(P, 15, Some(0));
    assert_eq!(partitions.storable(vec![(P, 14)]).0, [(P, 14)], "15 is not settled");
    partitions.restart(P, Place { halted: true, ..at(0) });
    assert_eq!(partitions.ended(P, 20), None, "a halted partition has no end");
    partitions.revoke(P);
    assert_eq!(partitions.ended(P, 20), None, "nor has one that left");
}

#[test]
fn the_first_offset_of_a_group_is_committed_before_any_record_is_settled() {
    let mut partitions = one();
    partitions.assign(P, Place { position: Some(5), ..Place::default() });
    assert_eq!(partitions.storable(vec![(P, 5)]).0, [(P, 5)]);
    assert_eq!(partitions.uncommitted(), [(P, 5)], "and tried again until it is");
    partitions.committed(P, 5);
    assert_eq!(partitions.uncommitted(), []);
}

#[test]
fn what_is_not_decided_is_not_read_until_it_is() {
    let mut partitions = one();
    partitions.assign(P, Place { halted: true, undecided: true, ..Place::default() });
    assert_eq!((partitions.read(P, 0, None), partitions.any_undecided()), (None, true));
    assert_eq!(partitions.pause_changes(), (vec![P], vec![]));
    assert_eq!(partitions.reading(), [(P, None)]);
    partitions.restart(P, at(7));
    assert_eq!((partitions.any_undecided(), partitions.settled(P)), (false, Some(7)));
    assert_eq!(partitions.pause_changes(), (vec![], vec![P]));
    assert!(partitions.read(P, 7, None).is_some());
}

/// A transaction of one reply: record 99, marker 100. Retention takes the whole idle log, whose start is then its end, 101.
#[test]
fn a_transaction_marker_that_retention_took_is_no_gap() {
    let mut offsets = crate::bridge::offsets::Offsets::new();
    let mut partitions = one();
    partitions.assign(P, at(99));
    assert!(partitions.read(P, 99, Some(0)).is_some() && offsets.deliver(99, None));
    assert_eq!(partitions.ended(P, 101), None);
    offsets.settle(99);
    let (stored, _) = partitions.storable(vec![(P, offsets.committable().unwrap())]);
    let start = positions::decide(Some(stored[0].1), Some((101, 101)));
    assert_eq!(positions::halt("replies", 0, start, OnGap::Stop), None, "{start:?}");
}

#[test]
fn a_record_of_a_later_leader_is_handed_on_only_when_the_log_was_asked() {
    let mut partitions = one();
    let start = Place { note: Note { topic_id: None, leader_epoch: Some(3) }, ..at(10) };
    partitions.assign(P, start);
    assert_eq!(partitions.doubted(), []);
    assert_eq!(partitions.read(P, 10, Some(4)), None);
    assert_eq!(partitions.doubted(), [(P, 10, 3)]);
    assert_eq!((partitions.read(P, 11, Some(4)), partitions.ended(P, 12)), (None, None), "nothing before it is asked");
    partitions.is_asked(P);
    assert!(partitions.read(P, 10, Some(4)).is_some() && partitions.read(P, 11, Some(5)).is_some());
    assert_eq!(partitions.doubted(), [], "while it reads on, librdkafka asks by itself");
    partitions.assign(P, start);
    assert!(partitions.read(P, 10, Some(3)).is_some(), "the same leader has one log");
}
