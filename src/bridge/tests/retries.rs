//! A call that failed for a reason that may pass.

use super::model::{Step, busy, not_active, unavailable, unknown_domain};
use super::support::{P0, Stage, complete, completes, millis, play, play_with, seconds};
use crate::bridge::{Options, Shared};
use crate::wire::OutcomeKind;

/// Milliseconds between the calls for an activity.
fn pauses(stage: &Stage, activity: &str) -> Vec<u128> {
    let calls = stage.engine.calls_for(activity);
    calls.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect()
}

/// The clock of a paused runtime has a grain of a millisecond, and each wait may round up by one.
fn about(pauses: &[u128], expected: &[u128]) -> bool {
    pauses.len() == expected.len() && pauses.iter().zip(expected).all(|(p, e)| (*e..=*e + 2).contains(p))
}

#[test]
fn unavailable_is_retried_until_it_answers() {
    play(async |stage| {
        stage.engine.script("a1", vec![unavailable(); 8]);
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        let seen = pauses(stage, "a1");
        assert!(about(&seen, &[50, 100, 200, 400, 10_000, 10_000, 10_000, 10_000]), "capped fast schedule: {seen:?}");
        let outcome = stage.outcome_of(0).unwrap();
        assert_eq!((outcome.kind, outcome.attempts), (OutcomeKind::Applied, 9));
        assert_eq!(stage.log.outcomes.borrow().len(), 1);
    });
}

#[test]
fn nothing_is_exhausted() {
    play(async |stage| {
        stage.engine.always(unavailable());
        stage.deliver(P0, [complete("a1")]);
        stage.pass(seconds(1200)).await;
        let calls = stage.engine.count("a1");
        assert!((120..=125).contains(&calls), "{calls} calls in 20 minutes: neither given up nor unbounded");
        assert!(stage.log.outcomes.borrow().is_empty() && stage.log.dead_letters.borrow().is_empty());
        stage.engine.always(Step::Ok);
        stage.eventually_stored(P0, 1).await;
    });
}

#[test]
fn a_busy_engine_is_left_alone_longer() {
    play(async |stage| {
        stage.engine.script("a1", vec![busy(); 5]);
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        let seen = pauses(stage, "a1");
        assert!(about(&seen, &[1050, 1100, 1200, 1400, 11_000]), "{seen:?}");
    });
}

#[test]
fn a_busy_engine_does_not_open_the_breaker() {
    play(async |stage| {
        (0..50).for_each(|n| stage.engine.script(&format!("a{n}"), [busy()]));
        stage.deliver(P0, completes(0..50));
        stage.eventually_stored(P0, 50).await;
        assert!(stage.engine.history_probes.borrow().is_empty());
        assert!(stage.log.paused.borrow().is_empty());
    });
}

#[test]
fn a_reply_in_back_off_gives_up_its_place() {
    play_with(
        |options, _| options.max_in_flight = 2,
        async |stage| {
            stage.engine.script("a0", vec![unavailable(); 6]);
            stage.engine.script("a1", vec![unavailable(); 6]);
            stage.deliver(P0, completes(0..20));
            stage.eventually("the others settled", |s| s.log.outcomes.borrow().len() == 18).await;
            assert!(stage.engine.count("a0") < 3, "while the first two were still in their first back-offs");
            stage.eventually_stored(P0, 20).await;
            assert!(stage.engine.peak.get() <= 2);
        },
    );
}

#[test]
fn replies_in_back_off_hold_a_bounded_share() {
    play_with(
        |options, _| options.max_in_flight = 2,
        async |stage| {
            // Two may wait outside the window of calls; the next two keep their places, and there are no more.
            stage.engine.on_call(|_| unavailable());
            stage.deliver(P0, completes(0..4).into_iter().chain([complete("a9")]));
            stage.pass(millis(1500)).await;
            assert_eq!(stage.engine.count("a9"), 0);
            stage.engine.always(Step::Ok);
            stage.eventually_stored(P0, 5).await;
        },
    );
}

#[test]
fn a_domain_that_is_active_elsewhere_is_waited_for() {
    play(async |stage| {
        stage.engine.script("a1", vec![not_active(); 20]);
        stage.deliver(P0, completes([1, 2]));
        stage.eventually("the other", |s| s.outcome_of(1).is_some()).await;
        stage.pass(seconds(100)).await;
        assert!(stage.outcome_of(0).is_none());
        assert!(stage.reasons().contains("not active in this cluster"), "{}", stage.reasons());
        stage.eventually_stored(P0, 2).await;
        assert_eq!(stage.outcome_of(0).unwrap().attempts, 1, "never counted");
        assert!(stage.shared.health.is_ready(), "a failover heals by itself");
    });
}

/// The engine tells the domain's id, and does not take answers for it.
fn with_orders(options: &mut Options, _: &mut Shared) {
    options.domains = vec!["orders".to_owned()];
}

#[test]
fn replies_for_an_unknown_domain_that_the_settings_name_wait_and_say_so() {
    play_with(with_orders, async |stage| {
        stage.engine.script("a1", vec![unknown_domain(); 3]);
        stage.engine.script("a2", vec![unknown_domain(); 2]);
        stage.deliver(P0, completes([1, 2, 3]));
        stage.eventually("the other domain's reply", |s| s.outcome_of(2).is_some()).await;
        stage.eventually("unready", |s| s.reasons().contains("does not know domain")).await;
        assert!(stage.reasons().contains("Register the domain"), "and what to do: {}", stage.reasons());
        stage.eventually("the first that is known", |s| s.outcome_of(1).is_some()).await;
        assert!(!stage.shared.health.is_ready(), "the other one waits still");
        stage.eventually_stored(P0, 3).await;
        assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied; 3]);
    });
}

#[test]
fn an_unknown_domain_is_no_reason_any_more_when_its_replies_have_left() {
    play_with(with_orders, async |stage| {
        stage.engine.always(unknown_domain());
        stage.deliver(P0, [complete("a1")]);
        stage.eventually("unready", |s| !s.shared.health.is_ready()).await;
        let prefixes = stage.log.revoke(&[P0]);
        assert_eq!(stage.let_go(&prefixes).await, [(P0, 0)]);
        assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
    });
}
