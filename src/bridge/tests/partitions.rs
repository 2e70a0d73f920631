//! Partitions that come and go.

use super::books::{Act, OUTCOMES, transient};
use super::model::{Step, unavailable};
use super::support::{P0, P1, WITHOUT_LEDGER, complete, completes, millis, play, play_with, seconds};
use crate::bridge::seams::Probed;
use crate::bridge::seams::{Control, PartitionId, Received};
use crate::wire::OutcomeKind;

#[test]
fn revoked_partition_stops_its_calls_only() {
    play_with(
        |options, _| options.max_in_flight = 4,
        async |stage| {
            stage.log.assign(&[P1]);
            for activity in ["a0", "a1", "b0", "b1"] {
                stage.engine.script(activity, [Step::held(Step::Ok)]);
            }
            stage.deliver(P0, completes(0..2));
            stage.deliver(P1, [complete("b0"), complete("b1")]);
            stage.deliver(P0, [complete("a0"), complete("a5"), complete("a6")]);
            stage.deliver(P1, [complete("b5")]);
            stage.eventually("all places taken", |s| s.engine.total() == 4).await;
            let prefixes = stage.log.revoke(&[P0]);
            stage.pass(millis(500)).await;
            assert_eq!(stage.log.answered(&prefixes), None, "work in hand is waited for");
            stage.engine.release("a0");
            stage.engine.release("a1");
            assert_eq!(stage.let_go(&prefixes).await, [(P0, 2)], "what was in hand is settled");
            stage.engine.release("b0");
            stage.engine.release("b1");
            stage.eventually_stored(P1, 3).await;
            assert_eq!(stage.engine.total(), 5, "nothing more was started for the revoked partition");
            assert_eq!(stage.engine.count("a0"), 1, "nor what waited in a lane");
        },
    );
}

#[test]
fn a_revoke_ends_back_off_at_once() {
    play(async |stage| {
        stage.engine.script("a1", vec![unavailable(); 50]);
        stage.deliver(P0, completes(0..3));
        stage.pass(seconds(5)).await;
        let prefixes = stage.log.revoke(&[P0]);
        let before = tokio::time::Instant::now();
        assert_eq!(stage.let_go(&prefixes).await, [(P0, 1)], "the contiguous prefix");
        assert!(before.elapsed() < millis(10));
        let calls = stage.engine.total();
        stage.pass(seconds(60)).await;
        assert_eq!(stage.engine.total(), calls);
    });
}

#[test]
fn a_revoke_ends_the_wait_at_a_shut_gate_and_for_a_place() {
    play_with(
        |options, _| options.max_in_flight = 2,
        async |stage| {
            *stage.engine.history.borrow_mut() = Probed::Unwell("down".to_owned());
            stage.engine.always(unavailable());
            stage.log.assign(&[P1]);
            stage.deliver(P1, (0..4).map(|n| complete(&format!("b{n}"))));
            stage.deliver(P0, completes(0..4));
            stage.pass(seconds(60)).await;
            let calls = stage.engine.total();
            let prefixes = stage.log.revoke(&[P0, P1]);
            let before = tokio::time::Instant::now();
            let mut let_go = stage.let_go(&prefixes).await;
            let_go.sort_unstable();
            assert!(let_go.iter().all(|(_, next)| *next == 0), "{let_go:?}");
            assert!(before.elapsed() < millis(10));
            stage.pass(seconds(60)).await;
            assert_eq!(stage.engine.total(), calls);
        },
    );
}

#[test]
fn a_revoke_ends_the_wait_for_a_place_that_others_hold() {
    play_with(
        |options, _| options.max_in_flight = 1,
        async |stage| {
            stage.log.assign(&[P1]);
            stage.engine.script("a0", [unavailable()]);
            stage.engine.script("b0", [Step::held(Step::Ok)]);
            stage.deliver(P0, [complete("a0")]);
            stage.deliver(P1, [complete("b0")]);
            stage.pass(seconds(5)).await;
            assert_eq!((stage.engine.count("a0"), stage.engine.count("b0")), (1, 1), "a0 is back and finds no place");
            let prefixes = stage.log.revoke(&[P0]);
            let before = tokio::time::Instant::now();
            assert_eq!(stage.let_go(&prefixes).await, [(P0, 0)]);
            assert!(before.elapsed() < millis(10));
            stage.engine.release("b0");
            stage.eventually_stored(P1, 1).await;
        },
    );
}

#[test]
fn a_missed_revoke_deadline_sends_the_contiguous_prefix() {
    play(async |stage| {
        stage.engine.script("a2", [Step::held(Step::Ok)]);
        stage.deliver(P0, completes(0..5));
        stage.eventually("the others settled", |s| s.log.outcomes.borrow().len() == 4).await;
        let prefixes = stage.log.revoke(&[P0]);
        let before = tokio::time::Instant::now();
        assert_eq!(stage.let_go(&prefixes).await, [(P0, 2)]);
        let waited = before.elapsed();
        assert!((millis(1500)..millis(2000)).contains(&waited), "{waited:?}: before the consumer stops waiting");
    });
}

#[test]
fn a_late_finish_is_swallowed_and_its_offset_is_not_stored_under_the_new_epoch() {
    play_with(WITHOUT_LEDGER, async |stage| {
        stage.engine.script("a0", [Step::held(Step::Ok), Step::after(seconds(30), Step::Ok)]);
        stage.deliver(P0, completes(0..3));
        stage.eventually("all in hand", |s| s.engine.total() == 3).await;
        let prefixes = stage.log.revoke(&[P0]);
        assert_eq!(stage.let_go(&prefixes).await, [(P0, 0)], "nothing contiguous");
        stage.log.assign(&[P0]);
        stage.read(P0, 0, 3);
        stage.pass(seconds(1)).await;
        assert_eq!(stage.engine.count("a0"), 1, "one after the other, also across epochs");
        stage.engine.release("a0");
        stage.eventually("the late finish", |s| s.metric("handback_late_finishes_total 1")).await;
        stage.pass(seconds(10)).await;
        assert_eq!(stage.log.stored(P0), Some(0), "a0 is unsettled in this epoch");
        stage.eventually_stored(P0, 3).await;
        assert_eq!(stage.engine.count("a0"), 2);
    });
}

#[test]
fn an_assignment_on_top_of_another_ends_the_old_one() {
    play_with(WITHOUT_LEDGER, async |stage| {
        stage.engine.script("a0", [Step::held(Step::Ok)]);
        stage.engine.script("a1", vec![unavailable(); 3]);
        stage.deliver(P0, completes(0..3).into_iter().chain([complete("a0")]));
        stage.eventually("all in hand", |s| s.engine.total() == 3).await;
        stage.log.assign(&[P0]);
        stage.read(P0, 0, 4);
        stage.pass(seconds(1)).await;
        stage.engine.release("a0");
        stage.eventually_stored(P0, 4).await;
        assert_eq!(stage.engine.count("a0"), 3, "the old one in flight, and the two of the new epoch");
    });
}

#[test]
fn lost_partitions_store_nothing_and_start_nothing() {
    play(async |stage| {
        stage.engine.script("a0", [Step::held(Step::Ok)]);
        stage.deliver(P0, completes(0..2).into_iter().chain([complete("a0")]));
        stage.eventually("in hand", |s| s.engine.total() == 2).await;
        stage.log.lose(&[P0]);
        stage.engine.release("a0");
        stage.pass(seconds(5)).await;
        assert!(matches!(stage.log.stored(P0), None | Some(0)));
        assert_eq!(stage.engine.count("a0"), 1);
        assert!(!stage.running.is_finished());
    });
}

#[test]
fn an_answered_call_is_recorded_although_its_partition_is_leaving() {
    play(async |stage| {
        stage.engine.script("a0", [Step::held(Step::Ok)]);
        stage.log.script(OUTCOMES, vec![transient(); 3]);
        stage.deliver(P0, [complete("a0")]);
        stage.eventually("in hand", |s| s.engine.total() == 1).await;
        let prefixes = stage.log.revoke(&[P0]);
        stage.pass(millis(1)).await;
        stage.engine.release("a0");
        assert_eq!(stage.let_go(&prefixes).await, [(P0, 1)], "the write was tried again until the deadline");
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied]);
    });
}

#[test]
fn a_partition_that_left_leaves_no_write_behind() {
    play(async |stage| {
        stage.log.always(OUTCOMES, transient());
        stage.deliver(P0, [complete("a0")]);
        stage.pass(seconds(1)).await;
        let prefixes = stage.log.revoke(&[P0]);
        assert_eq!(stage.let_go(&prefixes).await, [(P0, 0)]);
        stage.pass(seconds(10)).await;
        let tries = stage.log.events.borrow().len();
        stage.pass(seconds(600)).await;
        assert_eq!(stage.log.events.borrow().len(), tries, "nothing is tried for it any more");
    });
}

#[test]
fn a_second_revoke_answers_the_first() {
    play(async |stage| {
        stage.log.assign(&[P1]);
        stage.engine.script("a0", [Step::held(Step::Ok)]);
        stage.deliver(P0, completes(0..1));
        stage.deliver(P1, [complete("b0")]);
        stage.eventually_stored(P1, 1).await;
        let first = stage.log.revoke(&[P0]);
        stage.pass(millis(100)).await;
        let second = stage.log.revoke(&[P1]);
        assert_eq!(stage.let_go(&first).await, [(P0, 0)]);
        assert_eq!(stage.let_go(&second).await, [(P1, 1)]);
    });
}

#[test]
fn a_batch_that_overtakes_its_assignment_is_not_lost() {
    play(async |stage| {
        // Both are sent between two looks of the worker: after it looked for controls, before it looks for records.
        let (log, records) = (std::rc::Rc::clone(&stage.log), stage.records());
        let mut sent = false;
        stage.engine.on_call(move |_| {
            if !std::mem::replace(&mut sent, true) {
                log.assign(&[P1]);
                let batch = (0..3).map(|offset| received(P1, log.epoch(P1), offset)).collect::<Vec<_>>();
                for one in &batch {
                    log.sent.borrow_mut().insert((P1, one.record.origin.offset), (one.record.clone(), true));
                }
                records.try_send(batch).unwrap();
            }
            Step::after(seconds(1), Step::Ok)
        });
        stage.deliver(P0, [complete("a0")]);
        stage.eventually_stored(P1, 3).await;
        assert_eq!(stage.log.outcomes.borrow().len(), 4, "every record has its outcome");
    });
}

fn received(partition: PartitionId, epoch: u32, offset: i64) -> Received {
    let mut record = complete(&format!("c{offset}"));
    record.origin.partition = partition.partition;
    record.origin.offset = offset;
    Received { partition, epoch, record }
}

#[test]
fn records_of_an_ended_assignment_are_left_to_the_new_owner() {
    play(async |stage| {
        stage.log.always(OUTCOMES, Act::Ack);
        let stale = received(P0, 77, 5);
        stage.records().try_send(vec![stale]).unwrap();
        stage.pass(seconds(1)).await;
        assert_eq!(stage.engine.total(), 0);
        stage.log.tell(Control::Revoked(vec![(P1, 9)], std::sync::mpsc::sync_channel(1).0));
        stage.deliver(P0, [complete("a0")]);
        stage.eventually_stored(P0, 1).await;
    });
}
