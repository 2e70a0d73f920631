//! How a worker ends, and what it leaves behind.

use super::books::{Event, OUTCOMES, transient};
use super::model::{Step, unavailable};
use super::support::{P0, P1, complete, completes, millis, play, seconds};
use crate::bridge::Ending;
use crate::bridge::seams::Control;

#[test]
fn shutdown_finishes_work_in_hand() {
    play(async |stage| {
        stage.engine.on_call(|_| Step::after(seconds(3), Step::Ok));
        stage.deliver(P0, completes(0..10));
        stage.deliver(P0, [complete("a0")]);
        stage.eventually("in hand", |s| s.engine.total() == 10).await;
        stage.stop.cancel();
        assert_eq!(stage.ended().await, Ending::Drained);
        assert_eq!(stage.engine.total(), 10, "nothing was started after the stop");
        assert_eq!(stage.log.stored(P0), Some(10));
        let events = stage.log.events.borrow().clone();
        assert_eq!(events.last(), Some(&Event::Closed), "stored before the consumer was told to leave");
        assert_eq!(stage.log.last_prefixes(), Some(vec![(P0, 10)]), "and once more in the revoke that leaving brings");
    });
}

#[test]
fn shutdown_does_not_wait_for_back_off() {
    play(async |stage| {
        stage.engine.script("a1", vec![unavailable(); 9]);
        stage.deliver(P0, completes(0..3));
        stage.pass(seconds(5)).await;
        let before = tokio::time::Instant::now();
        stage.stop.cancel();
        assert_eq!(stage.ended().await, Ending::Drained);
        assert!(before.elapsed() < millis(10));
        assert_eq!(stage.log.stored(P0), Some(1));
    });
}

#[test]
fn shutdown_writes_what_was_answered() {
    play(async |stage| {
        stage.log.script(OUTCOMES, vec![transient(); 5]);
        stage.deliver(P0, completes(0..1));
        stage.eventually("answered", |s| s.engine.total() == 1).await;
        stage.stop.cancel();
        assert_eq!(stage.ended().await, Ending::Drained);
        assert_eq!(stage.log.stored(P0), Some(1), "the write was tried again although the process is stopping");
    });
}

#[test]
fn missed_deadline_leaves_the_offset_behind() {
    play(async |stage| {
        stage.engine.script("a1", [Step::held(Step::Ok)]);
        stage.engine.script("a2", [Step::held(Step::Ok)]);
        stage.deliver(P0, completes(0..5));
        stage.eventually("the others", |s| s.log.outcomes.borrow().len() == 3).await;
        let before = tokio::time::Instant::now();
        stage.stop.cancel();
        assert_eq!(stage.ended().await, Ending::DrainMissed(2));
        assert!((seconds(25)..seconds(26)).contains(&before.elapsed()), "{:?}", before.elapsed());
        stage.log.last_prefixes();
        assert_eq!(stage.log.stored(P0), Some(1));
    });
}

#[test]
fn shutdown_goes_on_through_a_revoke() {
    play(async |stage| {
        stage.log.assign(&[P1]);
        stage.engine.on_call(|_| Step::after(seconds(1), Step::Ok));
        stage.deliver(P0, completes(0..1));
        stage.deliver(P1, [complete("b0")]);
        stage.eventually("in hand", |s| s.engine.total() == 2).await;
        stage.stop.cancel();
        stage.pass(millis(100)).await;
        let prefixes = stage.log.revoke(&[P1]);
        assert_eq!(stage.let_go(&prefixes).await, [(P1, 1)]);
        assert_eq!(stage.ended().await, Ending::Drained);
        assert_eq!(stage.log.stored(P0), Some(1));
    });
}

#[test]
fn an_ending_in_the_middle_of_a_revoke_answers_it() {
    play(async |stage| {
        stage.engine.script("a1", [Step::held(Step::Ok)]);
        stage.deliver(P0, completes(0..3));
        stage.eventually("the others", |s| s.log.outcomes.borrow().len() == 2).await;
        let prefixes = stage.log.revoke(&[P0]);
        stage.pass(millis(100)).await;
        stage.log.tell(Control::Fatal("the client is fenced".to_owned()));
        assert_eq!(stage.ended().await, Ending::Fatal("the client is fenced".to_owned()));
        assert_eq!(stage.log.answered(&prefixes), Some(vec![(P0, 1)]));
    });
}

#[test]
fn a_consumer_that_dies_ends_the_process() {
    play(async |stage| {
        stage.deliver(P0, completes(0..1));
        stage.eventually_stored(P0, 1).await;
        stage.log.vanish();
        assert!(matches!(stage.ended().await, Ending::Fatal(text) if text.contains("consumer thread")));
    });
}

#[test]
fn a_consumer_that_does_not_leave_is_not_waited_for_without_end() {
    play(async |stage| {
        stage.log.deaf.set(true);
        stage.deliver(P0, completes(0..1));
        stage.eventually_stored(P0, 1).await;
        stage.stop.cancel();
        let before = tokio::time::Instant::now();
        assert_eq!(stage.ended().await, Ending::Drained);
        assert!(before.elapsed() <= seconds(8));
    });
}
