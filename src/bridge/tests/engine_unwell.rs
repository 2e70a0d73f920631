//! The engine as a whole: out of reach, unwell, or not ours.

use super::model::{Step, odd, unavailable};
use super::support::{P0, P1, Stage, complete, completes, play, seconds};
use crate::bridge::Ending;
use crate::bridge::seams::Probed;
use crate::bridge::seams::{DomainRef, Wiring};
use crate::wire::OutcomeKind;

const OPEN: &str = "handback_breaker_state{worker=\"0\"} 2";
const CLOSED: &str = "handback_breaker_state{worker=\"0\"} 0";

fn broken() -> Wiring {
    Wiring::Broken("UNIMPLEMENTED unknown service".to_owned())
}

/// History is gone: calls fail, and so does the probe.
fn take_down(stage: &Stage) {
    stage.engine.always(unavailable());
    *stage.engine.history.borrow_mut() = Probed::Unwell("UNKNOWN history is down".to_owned());
}

#[test]
fn an_outage_opens_the_breaker_pauses_probes_and_resumes() {
    play(async |stage| {
        stage.deliver(P0, completes(0..3));
        stage.eventually_stored(P0, 3).await;
        take_down(stage);
        stage.deliver(P0, completes(10..30));
        stage.eventually("the breaker open", |s| s.metric(OPEN)).await;
        assert!(stage.log.paused.borrow().contains(&P0), "nothing is read");
        assert!(stage.reasons().contains("the engine is unwell"), "{}", stage.reasons());
        let calls = stage.engine.total();
        stage.log.assign(&[P1]);
        stage.pass(seconds(600)).await;
        assert_eq!(stage.engine.total(), calls, "no call while it is open");
        assert!(stage.log.paused.borrow().contains(&P1), "a new partition pauses too");
        let probes = stage.engine.history_probes.borrow().len();
        assert!((299..=302).contains(&probes), "{probes} probes in 600 s, one each 2 s");
        let domain = DomainRef::Id(super::support::DOMAIN_ID.into());
        assert!(stage.engine.history_probes.borrow().iter().all(|(probed, _)| *probed == domain));

        *stage.engine.history.borrow_mut() = Probed::Well;
        stage.engine.always(Step::held(Step::Ok));
        stage.eventually("one goes first", |s| s.engine.total() > calls).await;
        stage.pass(seconds(5)).await;
        assert_eq!(stage.engine.total(), calls + 1, "and no other before it was answered");
        let first = stage.engine.calls.borrow().last().unwrap().activity.clone();
        stage.engine.always(Step::Ok);
        stage.engine.release(&first);
        stage.eventually_stored(P0, 23).await;
        assert!(stage.metric(CLOSED) && stage.shared.health.is_ready(), "{}", stage.reasons());
        assert!(stage.log.paused.borrow().is_empty(), "everything is read again");
        assert!(stage.log.outcomes.borrow().iter().all(|outcome| outcome.attempts <= 5), "none lost attempts");
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied; 23]);
    });
}

#[test]
fn one_workflow_in_trouble_stops_nobody() {
    play(async |stage| {
        stage.engine.script("a0", vec![unavailable(); 10]);
        stage.deliver(P0, std::iter::repeat_with(|| complete("a0")).take(10).chain(completes(1..50)));
        stage.eventually("the others", |s| s.log.outcomes.borrow().len() == 49).await;
        assert!(stage.engine.history_probes.borrow().is_empty());
        stage.eventually_stored(P0, 59).await;
    });
}

#[test]
fn a_trial_that_fails_shuts_the_gate_again_and_probes_are_paced() {
    play(async |stage| {
        // The probe is answered, calls are not: the part that takes answers is broken.
        stage.engine.always(unavailable());
        stage.deliver(P0, completes(0..20));
        stage.eventually("the breaker open", |s| s.engine.history_probes.borrow().len() > 2).await;
        let (probes, calls) = (stage.engine.history_probes.borrow().len(), stage.engine.total());
        stage.pass(seconds(100)).await;
        let probed = stage.engine.history_probes.borrow().len() - probes;
        let called = stage.engine.total() - calls;
        assert!((49..=51).contains(&probed), "{probed} probes in 100 s");
        assert!(called <= probed + 1, "{called} calls in {probed} trials");
        stage.engine.always(Step::Ok);
        stage.eventually_stored(P0, 20).await;
    });
}

#[test]
fn an_old_call_that_ends_a_trial_leaves_nobody_waiting_at_the_gate() {
    play(async |stage| {
        // One call is on its way when the breaker opens, and is answered during the trial; the trial's own call fails.
        stage.engine.script("slow", [Step::held(Step::Ok)]);
        stage.deliver(P0, [complete("slow")]);
        stage.eventually("the slow call", |s| s.engine.count("slow") == 1).await;
        take_down(stage);
        stage.deliver(P0, completes(0..8));
        stage.eventually("the breaker open", |s| s.metric(OPEN)).await;
        stage.pass(seconds(60)).await;
        let calls = stage.engine.total();
        *stage.engine.history.borrow_mut() = Probed::Well;
        stage.engine.always(Step::after(seconds(1), unavailable()));
        stage.eventually("the trial", |s| s.engine.total() == calls + 1).await;
        stage.engine.release("slow");
        stage.eventually("the others at the gate woken", |s| s.engine.total() > calls + 3).await;
        stage.engine.always(Step::Ok);
        stage.eventually_stored(P0, 9).await;
    });
}

#[test]
fn an_engine_out_of_reach_at_the_start_is_waited_for() {
    play(async |stage| {
        let unreachable = Wiring::Unreachable("connection refused".to_owned());
        *stage.engine.wiring.borrow_mut() = [unreachable].into();
        stage.deliver(P0, completes(0..3));
        stage.pass(seconds(60)).await;
        assert_eq!(stage.engine.total(), 0);
        assert!(stage.reasons().contains("connection refused"), "{}", stage.reasons());
        *stage.engine.wiring.borrow_mut() = [Wiring::Sound].into();
        stage.eventually_stored(P0, 3).await;
        assert!(stage.shared.health.is_ready());
    });
}

#[test]
fn a_wiring_fault_at_the_start_ends_the_process() {
    play(async |stage| {
        *stage.engine.wiring.borrow_mut() = [broken()].into();
        stage.deliver(P0, completes(0..3));
        let Ending::Wiring(text) = stage.ended().await else { panic!("another ending") };
        assert!(text.contains("UNIMPLEMENTED"), "{text}");
        assert_eq!((stage.engine.total(), stage.log.stored(P0)), (0, None));
        assert!(stage.log.outcomes.borrow().is_empty());
    });
}

#[test]
fn a_wiring_fault_behind_an_unreachable_address_ends_the_process_once_it_shows() {
    play(async |stage| {
        let unreachable = Wiring::Unreachable("connection refused".to_owned());
        *stage.engine.wiring.borrow_mut() = [unreachable, broken()].into();
        stage.deliver(P0, completes(0..3));
        assert!(matches!(stage.ended().await, Ending::Wiring(_)));
        assert_eq!(stage.engine.total(), 0);
    });
}

#[test]
fn wiring_fault_stops_instead_of_draining_the_topic() {
    play(async |stage| {
        stage.deliver(P0, completes(0..2));
        stage.eventually_stored(P0, 2).await;
        let probes = stage.engine.wiring_probes.get();
        *stage.engine.wiring.borrow_mut() = [broken()].into();
        stage.engine.always(odd());
        stage.deliver(P0, completes(2..600));
        stage.eventually("unready", |s| s.reasons().contains("no Cadence frontend of ours")).await;
        let ending = stage.ended().await;
        assert!(matches!(&ending, Ending::Wiring(text) if text.contains("unknown service")), "{ending:?}");
        assert_eq!(stage.engine.wiring_probes.get() - probes, 3, "confirmed by three probes in a row");
        assert!(stage.log.dead_letters.borrow().is_empty(), "the topic was not drained");
        assert_eq!(stage.log.outcomes.borrow().len(), 2);
        assert_eq!(stage.log.stored(P0), Some(2), "the offset stays before the first that was not settled");
        stage.log.last_prefixes();
        assert_eq!(stage.log.stored(P0), Some(2));
    });
}

#[test]
fn one_odd_answer_does_not_stop_the_process() {
    play(async |stage| {
        *stage.engine.wiring.borrow_mut() =
            [Wiring::Sound, broken(), broken(), Wiring::Unreachable("reset".to_owned()), Wiring::Sound].into();
        stage.engine.script("a1", [odd()]);
        stage.deliver(P0, completes(0..5));
        stage.eventually("unready", |s| !s.shared.health.is_ready()).await;
        stage.deliver(P0, completes(5..10));
        stage.eventually_stored(P0, 10).await;
        assert_eq!(stage.engine.count("a1"), 2);
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied; 10]);
        assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
        assert!(!stage.running.is_finished());
    });
}

#[test]
fn doubtful_probes_far_apart_do_not_add_up() {
    play(async |stage| {
        for round in 0..3 {
            *stage.engine.wiring.borrow_mut() = [broken(), broken(), Wiring::Sound].into();
            if round == 0 {
                // The probe at the start comes first.
                stage.engine.wiring.borrow_mut().push_front(Wiring::Sound);
            }
            let activity = format!("odd{round}");
            stage.engine.script(&activity, [odd()]);
            stage.deliver(P0, [complete(&activity)]);
            stage.eventually_stored(P0, round + 1).await;
        }
        assert!(!stage.running.is_finished());
    });
}

#[test]
fn an_odd_answer_after_other_failures_is_looked_into() {
    play(async |stage| {
        stage.engine.script("a1", [unavailable(), unavailable()]);
        stage.engine.always(odd());
        stage.deliver(P0, [complete("a1")]);
        stage.eventually("two failures", |s| s.engine.total() == 2).await;
        *stage.engine.wiring.borrow_mut() = [broken()].into();
        assert!(matches!(stage.ended().await, Ending::Wiring(_)));
        assert!(stage.log.outcomes.borrow().is_empty());
    });
}

#[test]
fn a_reply_that_alone_gets_odd_answers_waits_and_says_so() {
    play(async |stage| {
        stage.engine.script("a1", vec![odd(); 5]);
        stage.deliver(P0, completes(0..5));
        stage.eventually("the others", |s| s.log.outcomes.borrow().len() == 4).await;
        stage.eventually("unready", |s| s.reasons().contains("activity-replies/0/1 waits")).await;
        assert_eq!(stage.engine.wiring_probes.get(), 2, "at the start, and once for this record");
        stage.eventually_stored(P0, 5).await;
        stage.eventually("ready", |s| s.shared.health.is_ready()).await;
    });
}

#[test]
fn an_idle_process_is_ready_once_the_engine_answers_probes() {
    play(async |stage| {
        *stage.engine.wiring.borrow_mut() = [Wiring::Unreachable("connection refused".to_owned())].into();
        stage.eventually("unready", |s| !s.shared.health.is_ready()).await;
        *stage.engine.wiring.borrow_mut() = [Wiring::Sound].into();
        stage.eventually("ready without a reply", |s| s.shared.health.is_ready()).await;
        stage.deliver(P0, completes(0..3));
        stage.eventually_stored(P0, 3).await;
    });
}

#[test]
fn an_engine_that_answers_only_probes_is_no_ready_engine() {
    play(async |stage| {
        stage.engine.always(unavailable());
        stage.deliver(P0, completes(0..20));
        stage.eventually("unready", |s| !s.shared.health.is_ready()).await;
        for _ in 0..600 {
            stage.pass(seconds(1)).await;
            assert!(!stage.shared.health.is_ready(), "no reply gets through");
        }
        stage.engine.always(Step::Ok);
        stage.eventually_stored(P0, 20).await;
        stage.eventually("ready", |s| s.shared.health.is_ready()).await;
    });
}
