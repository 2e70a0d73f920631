//! Domains: which replies may answer, and what those meet whose domain nobody has registered.

use super::model::{BILLING_ID, Step, not_active, unknown_domain};
use super::retry_topics::{T, TIERS, eventually, path, the_outcome};
use super::support::{
    P0, P1, STRANGE_ID, Stage, by_id, completed, completes, play_with, reply, seconds, token_of, with_tiers,
};
use crate::bridge::seams::{CallError, Verdict};
use crate::bridge::{Options, Shared};
use crate::wire::{OutcomeKind, Record, Target};

/// The engine knows what it knows: calls for other domains fail.
fn strange_calls_fail(stage: &Stage) {
    stage.engine.on_call(|called| {
        let strange = match &called.target {
            Target::Token(token) => {
                !token.claims().domain_id.starts_with("5a1d") && token.claims().domain_id != BILLING_ID
            }
            Target::ById(id) => id.domain.starts_with("nobody"),
        };
        if strange { unknown_domain() } else { Step::Ok }
    });
}

/// Replies of as many domains as there are replies, all made up.
fn strangers(count: usize) -> Vec<Record> {
    let id = |n: usize| format!("00000000-0000-4000-8000-{n:012}");
    (0..count).map(|n| reply(token_of(&id(n), &format!("x{n}")), completed())).collect()
}

fn named_strangers(count: usize) -> Vec<Record> {
    (0..count).map(|n| reply(by_id(&format!("nobody-{n}"), &format!("x{n}"), None), completed())).collect()
}

fn listed(options: &mut Options, _: &mut Shared) {
    with_tiers(options);
    options.domains = vec!["orders".to_owned(), "billing".to_owned()];
    options.flood = None;
}

fn open_to_all(options: &mut Options, _: &mut Shared) {
    with_tiers(options);
    options.flood = None;
}

#[test]
fn replies_of_domains_that_are_not_listed_are_refused_with_few_questions_and_cost_others_nothing() {
    play_with(listed, async |stage| {
        strange_calls_fail(stage);
        stage.log.assign(&[P1]);
        stage.deliver(P0, strangers(1_000).into_iter().chain(named_strangers(1_000)));
        let began = tokio::time::Instant::now();
        stage.deliver(P1, completes(0..100));
        stage.eventually("the innocent", |s| s.engine.total() == 100).await;
        assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
        stage.eventually_stored(P0, 2_000).await;
        stage.eventually_stored(P1, 100).await;
        let refused =
            stage.log.outcomes.borrow().iter().filter(|o| o.reason.as_deref() == Some("domain_not_allowed")).count();
        assert_eq!((refused, stage.engine.total()), (2_000, 100), "and nothing is told about them");
        assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
        assert!(stage.engine.described.get() <= 10, "{} questions", stage.engine.described.get());
        stage.pass(seconds(60)).await;
        stage.deliver(P0, strangers(1_000));
        stage.eventually_stored(P0, 3_000).await;
        assert!(stage.engine.described.get() <= 20, "{} questions", stage.engine.described.get());
    });
}

#[test]
fn many_who_ask_for_the_same_domains_at_the_start_ask_once() {
    play_with(listed, async |stage| {
        stage.deliver(P0, completes(0..17));
        stage.eventually_stored(P0, 17).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied; 17]);
        assert_eq!(stage.engine.described.get(), 2, "for each that is allowed");
    });
}

#[test]
fn a_domain_that_was_registered_anew_with_another_id_is_allowed() {
    play_with(listed, async |stage| {
        stage.deliver(P0, completes(0..1));
        stage.eventually_stored(P0, 1).await;
        stage.pass(seconds(10)).await;
        stage.engine.domains.borrow_mut().insert("orders", STRANGE_ID);
        stage.deliver(P0, [reply(token_of(STRANGE_ID, "a1"), completed())]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied; 2]);
    });
}

#[test]
fn a_name_of_the_settings_that_the_engine_does_not_know_makes_unready_and_its_replies_wait() {
    play_with(listed, async |stage| {
        let retry = stage.beside(&T);
        stage.engine.domains.borrow_mut().remove("billing");
        stage.deliver(P0, [reply(token_of(BILLING_ID, "a1"), completed())]);
        stage.eventually("unready", |s| s.reasons().contains("does not know domain billing")).await;
        stage.eventually_stored(P0, 1).await;
        assert_eq!(path(stage), [TIERS[2]], "as what somebody has to mend");
        assert!(stage.metric("handback_postponed_total{cause=\"unknown_domain\"} 1"));
        stage.engine.domains.borrow_mut().insert("billing", BILLING_ID);
        assert_eq!(the_outcome(&retry).await.kind, OutcomeKind::Applied);
        eventually(&retry, "ready", |s| s.shared.health.is_ready()).await;
        retry.running.abort();
    });
}

#[test]
fn what_is_known_of_allowed_domains_outlives_an_engine_that_tells_nothing() {
    play_with(listed, async |stage| {
        stage.deliver(P0, completes(0..1));
        stage.eventually_stored(P0, 1).await;
        stage.pass(seconds(10)).await;
        let message = "gone".to_owned();
        let gone = CallError { verdict: Verdict::Transient { busy: false }, status: "UNAVAILABLE", message };
        *stage.engine.untold.borrow_mut() = Some(gone);
        stage.deliver(P0, [reply(token_of(STRANGE_ID, "x1"), completed())]);
        stage.deliver(P0, completes(1..20));
        stage.eventually("those that are allowed", |s| s.engine.total() == 20).await;
        assert!(stage.outcome_of(1).is_none(), "the other may be allowed");
        *stage.engine.untold.borrow_mut() = None;
        stage.eventually("refused", |s| s.outcome_of(1).is_some()).await;
        assert_eq!(stage.outcome_of(1).unwrap().reason.as_deref(), Some("domain_not_allowed"));
    });
}

#[test]
fn a_revoke_waits_for_no_engine_that_is_silent_about_allowed_domains() {
    play_with(listed, async |stage| {
        stage.engine.describe_time.set(seconds(10));
        stage.deliver(P0, completes(0..20));
        stage.eventually("asked", |s| s.engine.described.get() > 0).await;
        let began = tokio::time::Instant::now();
        let prefixes = stage.log.revoke(&[P0]);
        stage.let_go(&prefixes).await;
        assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
        assert_eq!(stage.engine.total(), 0, "its next owner answers");
    });
}

#[test]
fn replies_of_domains_that_nobody_has_registered_wait_and_cost_others_nothing_where_all_may_be_answered() {
    play_with(open_to_all, async |stage| {
        strange_calls_fail(stage);
        stage.log.assign(&[P1]);
        stage.deliver(P0, strangers(1_000).into_iter().chain(named_strangers(1_000)));
        let began = tokio::time::Instant::now();
        stage.deliver(P1, completes(0..100));
        stage.eventually_stored(P1, 100).await;
        assert!(began.elapsed() < seconds(2), "{:?}", began.elapsed());
        let shown = |s: &Stage| !s.metric("handback_unknown_domain_replies{worker=\"0\"} 0");
        stage.eventually("shown", shown).await;
        assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
        stage.eventually_stored(P0, 2_000).await;
        assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
        assert_eq!(path(stage).len(), 2_000, "on retry topics, until somebody registers them");
        stage.eventually("none in hand", |s| s.metric("handback_unknown_domain_replies{worker=\"0\"} 0")).await;
        assert!(stage.engine.total() < 2_000 * 2 + 101, "{} calls", stage.engine.total());
    });
}

#[test]
fn what_unready_says_is_bounded_in_number_and_length() {
    play_with(open_to_all, async |stage| {
        stage.engine.on_call(|called| {
            let Step::Error(mut error) = not_active() else { unreachable!() };
            error.message = format!("{} is elsewhere {}", called.activity, "x".repeat(100_000));
            Step::Error(error)
        });
        stage.deliver(P0, named_strangers(200));
        stage.eventually("unready", |s| s.shared.health.reasons().len() >= 33).await;
        assert!(stage.reasons().contains("more reasons than are shown"), "{}", stage.reasons());
        for _ in 0..30 {
            let reasons = stage.shared.health.reasons();
            assert!(reasons.len() <= 33, "{}", reasons.len());
            assert!(reasons.iter().all(|(key, text)| key.len() < 300 && text.len() < 2_100));
            stage.pass(seconds(1)).await;
        }
    });
}
