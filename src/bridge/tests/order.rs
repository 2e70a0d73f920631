//! The order of writes, of offsets, and of the replies to one activity.

use super::books::{Act, DEAD_LETTERS, Event, OUTCOMES};
use super::model::{Step, unavailable};
use super::support::{P0, WITHOUT_LEDGER, complete, completes, fail, millis, play, play_with, rubbish, seconds};
use crate::wire::Action;

#[test]
fn offset_waits_for_outcome_ack() {
    play(async |stage| {
        stage.log.always(OUTCOMES, Act::Held);
        stage.deliver(P0, [complete("a1")]);
        stage
            .eventually("the outcome on its way", |s| s.log.position(&Event::Writing(OUTCOMES.to_owned(), 0)).is_some())
            .await;
        stage.pass(seconds(5)).await;
        assert_eq!(stage.log.stored(P0), None, "the engine answered, the outcome is not durable");
        stage.log.release(OUTCOMES);
        stage.eventually_stored(P0, 1).await;
    });
}

#[test]
fn offset_waits_for_dead_letter_delivery() {
    play(async |stage| {
        stage.log.always(DEAD_LETTERS, Act::Held);
        stage.deliver(P0, [rubbish(b"?")]);
        stage
            .eventually("the dead letter on its way", |s| {
                s.log.position(&Event::Writing(DEAD_LETTERS.to_owned(), 0)).is_some()
            })
            .await;
        stage.pass(seconds(5)).await;
        assert_eq!(stage.log.stored(P0), None, "the dead letter is not durable");
        stage.log.release(DEAD_LETTERS);
        stage.eventually_stored(P0, 1).await;
    });
}

#[test]
fn dead_letter_before_outcome_before_offset() {
    play(async |stage| {
        stage.log.on_write(|_| Act::AckAfter(millis(300)));
        stage.deliver(P0, [rubbish(b"?")]);
        stage.eventually_stored(P0, 1).await;
        let expected = [
            Event::Writing(DEAD_LETTERS.to_owned(), 0),
            Event::Acknowledged(DEAD_LETTERS.to_owned(), 0),
            Event::Writing(OUTCOMES.to_owned(), 0),
            Event::Acknowledged(OUTCOMES.to_owned(), 0),
            Event::Stored(P0, 1),
        ];
        assert_eq!(*stage.log.events.borrow(), expected);
    });
}

#[test]
fn offset_never_passes_unfinished_work() {
    play(async |stage| {
        stage.engine.script("a1", [Step::held(Step::Ok)]);
        stage.deliver(P0, completes(0..5));
        stage.eventually("the others settled", |s| s.log.outcomes.borrow().len() == 4).await;
        stage.pass(seconds(3)).await;
        assert_eq!(stage.log.stored(P0), Some(1), "a0 is settled, a1 is not");
        stage.engine.release("a1");
        stage.eventually_stored(P0, 5).await;
    });
}

#[test]
fn offset_stored_is_the_next_to_read_across_gaps() {
    play(async |stage| {
        stage.deliver(P0, completes(0..3));
        stage.eventually_stored(P0, 3).await;
        stage.log.sent.borrow_mut().insert((P0, 17), (moved(complete("late"), 17), true));
        stage.read(P0, 17, 18);
        stage.eventually_stored(P0, 18).await;
    });
}

fn moved(mut record: crate::wire::Record, offset: i64) -> crate::wire::Record {
    record.origin.partition = 0;
    record.origin.offset = offset;
    record
}

#[test]
fn a_second_delivery_of_an_offset_is_one_call() {
    play(async |stage| {
        stage.engine.script("a0", [Step::After(seconds(1), Box::new(Step::Ok))]);
        stage.deliver(P0, completes(0..2));
        stage.read(P0, 0, 2);
        stage.eventually_stored(P0, 2).await;
        stage.read(P0, 0, 2);
        stage.pass(seconds(3)).await;
        assert_eq!(stage.engine.total(), 2);
        assert_eq!(stage.log.outcomes.borrow().len(), 2);
    });
}

#[test]
fn replies_to_one_activity_keep_their_order_and_others_do_not_wait() {
    play_with(WITHOUT_LEDGER, async |stage| {
        stage.engine.script("a1", [unavailable(), unavailable(), Step::held(Step::Ok)]);
        stage.deliver(P0, [complete("a1"), fail("a1"), complete("a2"), complete("a1"), complete("a3")]);
        stage.eventually("the others", |s| s.engine.count("a2") + s.engine.count("a3") == 2).await;
        stage.pass(seconds(5)).await;
        assert!(stage.outcome_of(0).is_none());
        assert_eq!(stage.engine.count("a1"), 3, "the second reply has not been told");
        stage.engine.release("a1");
        stage.eventually_stored(P0, 5).await;
        let calls = stage.engine.calls_for("a1");
        let actions: Vec<_> = calls.iter().map(|called| called.action).collect();
        assert_eq!(actions, [Action::Complete, Action::Complete, Action::Complete, Action::Fail, Action::Complete]);
        let offsets: Vec<_> = calls.iter().map(|called| called.identity.split('/').nth(5).unwrap()).collect();
        assert_eq!(offsets, ["0", "0", "0", "1", "3"]);
    });
}

#[test]
fn an_outcome_is_durable_before_the_next_reply_of_its_activity_is_told() {
    play(async |stage| {
        stage.log.always(OUTCOMES, Act::Held);
        stage.deliver(P0, [complete("a1"), complete("a1")]);
        stage.pass(seconds(2)).await;
        assert_eq!(stage.engine.count("a1"), 1);
        stage.log.release(OUTCOMES);
        stage.eventually_stored(P0, 2).await;
    });
}
