//! Replies that leave for a retry topic and that nobody foresees are a flood too.

use super::flood::NEVER_STOPPED;
use super::model::{Step, not_active, not_found, open, unknown_domain};
use super::support::{
    P0, Stage, by_id, complete, completed, completes, play_with, reply, seconds, token, token_of, with_tiers,
};
use crate::bridge::sight::{PendingState, Sight};
use crate::bridge::{Options, Shared};
use crate::wire::{Answer, Record, Target};

fn few_at_once(options: &mut Options, _: &mut Shared) {
    with_tiers(options);
    options.max_in_flight = 8;
}

/// How many left or became dead letters once the topic is stopped for `code`.
async fn let_through(stage: &Stage, code: &str) -> usize {
    stage.eventually("stopped", |s| s.reasons().contains(&format!("of them {code}"))).await;
    stage.pass(seconds(20)).await;
    stage.log.retries.borrow().len() + stage.log.dead_letters.borrow().len()
}

fn activity(target: &Target) -> String {
    match target {
        Target::Token(token) => token.claims().activity_id.to_owned(),
        Target::ById(id) => id.activity_id.clone(),
    }
}

fn cancels(count: usize) -> Vec<Record> {
    (0..count).map(|n| reply(token(&format!("c{n}")), Answer::Cancel { details: None })).collect()
}

#[test]
fn cancellations_that_nobody_asked_for_are_a_flood_before_they_have_gone_through_the_retry_topics() {
    play_with(few_at_once, async |stage| {
        stage.engine.on_look(|target| Ok(open(&activity(target), 0, PendingState::Started)));
        stage.deliver(P0, cancels(1_000));
        let moved = let_through(stage, "cancel_not_requested").await;
        assert!((50..120).contains(&moved), "the limit, and what was in hand: {moved}");
    });
}

#[test]
fn those_that_follow_an_unforeseen_reply_count_as_it_does() {
    play_with(few_at_once, async |stage| {
        stage.engine.on_look(|target| Ok(open(&activity(target), 0, PendingState::Started)));
        stage.deliver(P0, (0..1_000).map(|_| reply(token("c0"), Answer::Cancel { details: None })));
        // Each of them would be a dead letter. Those in its lane were taken up before it was stopped.
        let_through(stage, "cancel_not_requested").await;
    });
}

#[test]
fn an_answer_that_follows_cancels_nobody_asked_for_does_not_count() {
    play_with(few_at_once, async |stage| {
        stage.engine.on_look(|target| Ok(open(&activity(target), 0, PendingState::Started)));
        stage.deliver(P0, cancels(1).into_iter().chain((0..100).map(|_| complete("c0"))));
        stage.eventually("all on their way", |s| s.log.retries.borrow().len() == 101).await;
        assert!(stage.metric(NEVER_STOPPED), "{}", stage.reasons());
    });
}

#[test]
fn cancellations_that_nobody_asked_for_are_a_flood_without_retry_topics_too() {
    play_with(
        |options, _| (options.max_in_flight, options.lookup.wait) = (8, seconds(2)),
        async |stage| {
            stage.engine.on_look(|target| Ok(open(&activity(target), 0, PendingState::Started)));
            stage.deliver(P0, cancels(1_000));
            let moved = let_through(stage, "cancel_not_requested").await;
            assert!((50..120).contains(&moved), "{moved}");
        },
    );
}

#[test]
fn answers_to_attempts_that_never_begin_are_a_flood() {
    play_with(few_at_once, async |stage| {
        stage.engine.on_look(|target| Ok(open(&activity(target), 0, PendingState::Started)));
        stage.deliver(P0, (0..1_000).map(|n| reply(by_id("orders", &format!("n{n}"), Some(3)), completed())));
        let moved = let_through(stage, "not_ready").await;
        assert!((50..120).contains(&moved), "{moved}");
    });
}

#[test]
fn replies_of_domains_that_nobody_has_registered_are_a_flood() {
    for by_name in [false, true] {
        play_with(few_at_once, async |stage| {
            stage.engine.always(unknown_domain());
            let target = |n: usize| match by_name {
                true => by_id("nobody", &format!("x{n}"), None),
                false => token_of(&format!("00000000-0000-4000-8000-{n:012}"), &format!("x{n}")),
            };
            stage.deliver(P0, (0..1_000).map(|n| reply(target(n), completed())));
            let moved = let_through(stage, "unknown_domain").await;
            assert!((50..120).contains(&moved), "those that left for want of room among them: {moved}");
        });
    }
}

#[test]
fn a_domain_that_fails_over_is_no_flood() {
    // Unknown for a time too: the cluster that takes over may still read its domains.
    for step in [not_active(), unknown_domain()] {
        play_with(few_at_once, async |stage| {
            stage.deliver(P0, [complete("a9999")]);
            stage.eventually_stored(P0, 1).await;
            stage.engine.always(step.clone());
            stage.deliver(P0, completes(0..300));
            stage.eventually_stored(P0, 301).await;
            assert!(stage.metric(NEVER_STOPPED), "{}", stage.reasons());
        });
    }
}

#[test]
fn a_reply_that_comes_back_from_a_retry_topic_counts_once() {
    play_with(few_at_once, async |stage| {
        let retry = stage.beside(&super::retry_topics::T);
        stage.engine.always(not_found());
        stage.engine.on_look(|_| Ok(Sight::Nothing));
        stage.deliver(P0, completes(0..30));
        super::retry_topics::eventually(&retry, "all at their end", |s| s.log.outcomes.borrow().len() == 30).await;
        stage.engine.always(Step::Ok);
        assert!(stage.metric(NEVER_STOPPED), "30 of 30, counted once, are fewer than the limit of 50");
        retry.running.abort();
    });
}
