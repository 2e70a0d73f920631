//! Everything has a limit, and nothing is lost at it.

use std::time::Duration;

use super::books::{Act, Event, OUTCOMES};
use super::model::{Step, unavailable};
use super::support::{
    P0, P1, STRANGE_ID, by_id, complete, completes, millis, on_runtime, play_with, reply, seconds, token_of,
};
use crate::bridge::rate_limiter;
use crate::bridge::seams::Probed;
use crate::bridge::seams::{CallError, Verdict};
use crate::wire::{Answer, OutcomeKind};

#[test]
fn domains_that_are_not_listed_are_refused_by_name() {
    play_with(
        |options, _| options.domains = vec!["orders".to_owned(), "billing".to_owned()],
        async |stage| {
            let done = || Answer::Complete { result: None };
            let records = [
                complete("a0"),
                reply(by_id("billing", "a1", None), done()),
                reply(by_id("payroll", "a2", None), done()),
            ];
            stage.deliver(P0, records);
            stage.eventually_stored(P0, 3).await;
            stage.deliver(P0, [reply(token_of(STRANGE_ID, "a3"), done())]);
            stage.eventually_stored(P0, 4).await;
            let kinds: Vec<_> = (0..4).map(|offset| stage.outcome_of(offset).unwrap().kind).collect();
            use OutcomeKind::{Applied, Rejected};
            assert_eq!(kinds, [Applied, Applied, Rejected, Rejected]);
            let refused = stage.outcome_of(3).unwrap();
            assert_eq!(refused.reason.as_deref(), Some("domain_not_allowed"));
            assert_eq!(refused.detail.unwrap(), format!("domain {STRANGE_ID} is not in cadence.domains"));
            assert_eq!(stage.engine.total(), 2, "nothing is told about other domains");
            assert_eq!(stage.log.dead_letters.borrow().len(), 2);
        },
    );
}

#[test]
fn a_domain_whose_id_is_not_told_waits_and_says_so() {
    play_with(
        |options, _| options.domains = vec!["orders".to_owned()],
        async |stage| {
            let denied = CallError {
                verdict: Verdict::Wiring,
                status: "PERMISSION_DENIED",
                message: "describe is not for you".to_owned(),
            };
            *stage.engine.untold.borrow_mut() = Some(denied);
            stage.deliver(P0, [complete("a0")]);
            stage.eventually("unready", |s| s.reasons().contains("describe is not for you")).await;
            *stage.engine.untold.borrow_mut() = None;
            let orders = stage.engine.domains.borrow_mut().remove("orders").unwrap();
            stage.pass(seconds(10)).await;
            assert!(stage.reasons().contains("does not know domain orders"), "{}", stage.reasons());
            assert_eq!(stage.engine.total(), 0);
            stage.engine.domains.borrow_mut().insert("orders", orders);
            stage.eventually_stored(P0, 1).await;
            assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
        },
    );
}

#[test]
fn calls_in_flight_are_bounded_by_records() {
    play_with(
        |options, _| options.max_in_flight = 7,
        async |stage| {
            stage.engine.on_call(|_| Step::after(millis(10), Step::Ok));
            stage.deliver(P0, completes(0..500));
            stage.eventually_stored(P0, 500).await;
            assert_eq!(stage.engine.peak.get(), 7);
        },
    );
}

#[test]
fn records_in_hand_are_bounded_by_bytes() {
    play_with(
        // A partition has a third of them; a record takes 512 bytes beside its own.
        |options, _| options.max_in_flight_bytes = 9 * (complete("a000").size() + 512) + 10,
        async |stage| {
            stage.engine.on_call(|_| Step::after(millis(10), Step::Ok));
            stage.deliver(P0, (100..160).map(|n| complete(&format!("a{n}"))));
            stage.eventually("some in hand", |s| s.engine.total() > 0).await;
            stage.eventually_stored(P0, 60).await;
            assert_eq!(stage.engine.peak.get(), 3);
        },
    );
}

#[test]
fn a_record_larger_than_all_bytes_allowed_goes_alone() {
    play_with(
        |options, _| options.max_in_flight_bytes = 10,
        async |stage| {
            stage.deliver(P0, completes(0..20));
            stage.eventually_stored(P0, 20).await;
            assert_eq!(stage.engine.peak.get(), 1);
        },
    );
}

#[test]
fn outcomes_being_written_are_bounded() {
    play_with(
        |options, _| (options.max_recording, options.max_in_flight) = (5, 3),
        async |stage| {
            stage.log.always(OUTCOMES, Act::Held);
            stage.deliver(P0, completes(0..50));
            stage.pass(seconds(5)).await;
            assert!(stage.engine.total() <= 5, "{} answered and not written", stage.engine.total());
            stage.log.release(OUTCOMES);
            stage.eventually_stored(P0, 50).await;
        },
    );
}

#[test]
fn a_full_lane_pauses_its_partition_and_loses_nothing() {
    play_with(
        |options, _| {
            options.max_lane_depth = 2;
            // It would answer the repeats by itself.
            options.ledger = None;
        },
        async |stage| {
            stage.log.assign(&[P1]);
            stage.engine.script("a0", [Step::held(Step::Ok)]);
            // Records of other activities come behind the one that is held back, and must not pass it.
            let mixed = (0..8).flat_map(|n| [complete("a0"), complete(&format!("b{n}"))]);
            stage.deliver(P0, mixed);
            stage.deliver(P1, [complete("c0")]);
            stage.eventually("paused", |s| s.log.position(&Event::Paused(vec![P0])).is_some()).await;
            stage.eventually_stored(P1, 1).await;
            assert!(stage.log.paused.borrow().contains(&P0) && !stage.log.paused.borrow().contains(&P1));
            stage.pass(seconds(5)).await;
            assert_eq!(stage.engine.count("a0"), 1);
            stage.engine.release("a0");
            stage.eventually_stored(P0, 16).await;
            assert_eq!(stage.engine.count("a0"), 8, "all of them, in order");
            assert_eq!(stage.log.outcomes.borrow().len(), 17);
            assert!(stage.log.paused.borrow().is_empty(), "read again");
        },
    );
}

#[test]
fn a_partition_too_far_ahead_is_paused_and_loses_nothing() {
    play_with(
        |options, _| options.max_gap = 10,
        async |stage| {
            stage.engine.script("a0", [Step::held(Step::Ok)]);
            stage.deliver(P0, completes(0..40));
            stage.eventually("paused", |s| s.log.paused.borrow().contains(&P0)).await;
            stage.pass(seconds(5)).await;
            assert_eq!(stage.engine.total(), 10);
            stage.engine.release("a0");
            stage.eventually_stored(P0, 40).await;
            stage.deliver(P0, completes(40..60));
            stage.eventually_stored(P0, 60).await;
            assert_eq!(stage.engine.total(), 60);
            assert!(stage.log.paused.borrow().is_empty());
        },
    );
}

#[test]
fn a_paused_partition_that_leaves_drops_what_it_held_back() {
    play_with(
        |options, _| options.max_gap = 4,
        async |stage| {
            stage.engine.script("a0", [Step::held(Step::Ok), Step::Ok]);
            stage.deliver(P0, completes(0..20));
            stage.eventually("paused", |s| s.log.paused.borrow().contains(&P0)).await;
            let prefixes = stage.log.revoke(&[P0]);
            assert_eq!(stage.let_go(&prefixes).await, [(P0, 0)]);
            stage.log.assign(&[P0]);
            stage.engine.release("a0");
            stage.read(P0, 0, 20);
            stage.eventually_stored(P0, 20).await;
        },
    );
}

/// On the real clock: the limiter has its own.
#[test]
fn calls_a_second_are_bounded() {
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let limit = |_: &mut crate::bridge::Options, shared: &mut crate::bridge::Shared| shared.limiter = rate_limiter(20);
    on_runtime(&clock, limit, async |stage| {
        stage.deliver(P0, completes(0..26));
        stage.eventually_stored(P0, 26).await;
        let calls = stage.engine.calls.borrow();
        let took = calls[25].at - calls[0].at;
        assert!(took >= Duration::from_millis(240), "20 at once, then one each 50 ms: {took:?}");
    });
}

/// On the real clock, as above.
#[test]
fn a_gate_that_shuts_stops_what_waits_for_the_rate() {
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let limit = |_: &mut crate::bridge::Options, shared: &mut crate::bridge::Shared| shared.limiter = rate_limiter(20);
    on_runtime(&clock, limit, async |stage| {
        *stage.engine.history.borrow_mut() = Probed::Unwell("down".to_owned());
        // Long enough for the rest to pass the open gate and wait for the rate.
        stage.engine.always(Step::after(millis(20), unavailable()));
        stage.deliver(P0, completes(0..60));
        stage.eventually("the breaker open", |s| !s.shared.health.is_ready()).await;
        let calls = stage.engine.total();
        stage.pass(millis(300)).await;
        assert_eq!(stage.engine.total(), calls);
    });
}
