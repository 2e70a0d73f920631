//! Writes that fail: the record is not done, and its partition waits.

use super::books::{Act, DEAD_LETTERS, Event, OUTCOMES, permanent, transient};
use super::support::{P0, P1, complete, completes, play, rubbish, seconds};
use crate::bridge::Ending;
use crate::bridge::seams::ProduceFault;
use crate::wire::OutcomeKind;

fn tries(events: &[Event], topic: &str) -> usize {
    events.iter().filter(|event| matches!(event, Event::Writing(to, _) if to == topic)).count()
}

#[test]
fn a_write_that_failed_is_tried_again_and_its_partition_waits() {
    play(async |stage| {
        stage.log.assign(&[P1]);
        stage.log.on_write(|record| if record.partition == Some(0) { transient() } else { Act::Ack });
        stage.deliver(P0, completes(0..3));
        stage.deliver(P1, [complete("b0")]);
        stage.eventually_stored(P1, 1).await;
        stage.pass(seconds(60)).await;
        assert_eq!(stage.log.stored(P0), None);
        assert_eq!(stage.engine.total(), 4, "the engine is not asked again");
        let failed = tries(&stage.log.events.borrow(), OUTCOMES);
        assert!((3 * 12..3 * 20).contains(&failed), "{failed} tries in a minute: paced");
        stage.log.on_write(|_| Act::Ack);
        stage.eventually_stored(P0, 3).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied; 4]);
    });
}

#[test]
fn a_dead_letter_that_failed_is_tried_again_before_the_outcome() {
    play(async |stage| {
        stage.log.script(DEAD_LETTERS, vec![transient(); 4]);
        stage.deliver(P0, [rubbish(b"?")]);
        stage.eventually_stored(P0, 1).await;
        let events = stage.log.events.borrow();
        assert_eq!((tries(&events, DEAD_LETTERS), tries(&events, OUTCOMES)), (5, 1));
        assert_eq!(stage.log.dead_letters.borrow().len(), 1);
    });
}

#[test]
fn an_outcome_that_failed_does_not_repeat_its_dead_letter() {
    play(async |stage| {
        stage.log.script(OUTCOMES, vec![transient(); 4]);
        stage.deliver(P0, [rubbish(b"?")]);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(tries(&stage.log.events.borrow(), DEAD_LETTERS), 1);
    });
}

#[test]
fn a_write_that_cannot_succeed_makes_unready_and_heals() {
    play(async |stage| {
        stage.log.script(OUTCOMES, vec![permanent(); 6]);
        stage.deliver(P0, [complete("a0")]);
        stage.eventually("unready", |s| !s.shared.health.is_ready()).await;
        let reasons = stage.reasons();
        assert!(reasons.contains("activity-replies/0/0"), "the record is named: {reasons}");
        assert!(reasons.contains("raise max.message.bytes"), "and what to do: {reasons}");
        stage.pass(seconds(10)).await;
        assert_eq!(stage.log.stored(P0), None);
        assert!(!stage.shared.health.is_ready());
        stage.eventually_stored(P0, 1).await;
        assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
    });
}

#[test]
fn a_write_that_the_client_gives_up_late_makes_unready_at_once() {
    play(async |stage| {
        let timed_out = ProduceFault::Transient("too few replicas are in sync".to_owned());
        stage.log.script(OUTCOMES, [Act::FailAfter(seconds(30), timed_out), Act::AckAfter(seconds(30))]);
        stage.deliver(P0, [complete("a0")]);
        stage.eventually("unready", |s| !s.shared.health.is_ready()).await;
        assert_eq!(tries(&stage.log.events.borrow(), OUTCOMES), 1, "not only after several such waits");
        assert!(stage.reasons().contains("too few replicas are in sync"), "{}", stage.reasons());
        stage.eventually_stored(P0, 1).await;
        assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
    });
}

#[test]
fn unready_as_long_as_any_record_cannot_be_written_and_no_longer() {
    play(async |stage| {
        let mut failures = 0;
        stage.log.on_write(move |record| {
            let second = record.key.as_deref().is_some_and(|key| key.windows(4).any(|part| part == b"w-a1"));
            failures += usize::from(!second);
            if second || failures <= 2 { permanent() } else { Act::Ack }
        });
        stage.deliver(P0, completes(0..2));
        stage.eventually("the first healed", |s| s.outcome_of(0).is_some()).await;
        assert!(!stage.shared.health.is_ready(), "the second still waits");
        stage.pass(seconds(60)).await;
        assert!(!stage.shared.health.is_ready());
        let prefixes = stage.log.revoke(&[P0]);
        assert_eq!(stage.let_go(&prefixes).await, [(P0, 1)]);
        assert!(stage.shared.health.is_ready(), "its partition has left: {}", stage.reasons());
    });
}

#[test]
fn a_dead_producer_ends_the_process() {
    play(async |stage| {
        stage.log.always(OUTCOMES, Act::Fail(ProduceFault::Fatal("fenced".to_owned())));
        stage.deliver(P0, [complete("a0")]);
        let Ending::Fatal(text) = stage.ended().await else { panic!("another ending") };
        assert!(text.contains("fenced") && text.contains("activity-replies/0/0"), "{text}");
        stage.log.last_prefixes();
        assert!(matches!(stage.log.stored(P0), None | Some(0)));
    });
}

#[test]
fn a_record_that_cannot_even_be_recorded_as_failed_ends_the_process() {
    play(async |stage| {
        stage.log.always(OUTCOMES, Act::Panic);
        stage.deliver(P0, [complete("a0")]);
        let Ending::Fatal(text) = stage.ended().await else { panic!("another ending") };
        assert!(text.contains("activity-replies/0/0"), "{text}");
        stage.log.last_prefixes();
        assert!(matches!(stage.log.stored(P0), None | Some(0)));
    });
}

#[test]
fn a_write_that_panicked_once_becomes_a_dead_letter() {
    play(async |stage| {
        stage.log.script(OUTCOMES, [Act::Panic]);
        stage.deliver(P0, completes(0..2));
        stage.eventually_stored(P0, 2).await;
        assert_eq!(stage.log.dead_letters.borrow().len(), 1);
        assert_eq!(stage.log.outcomes.borrow().len(), 2);
    });
}
