//! Replies that leave for a retry topic, and what becomes of them there.

use bytes::Bytes;

use super::books::{Act, Event, transient};
use super::model::{Step, not_found, open, unavailable};
use super::support::{P0, Stage, complete, completes, millis, play_with, reply, seconds, token, with_tiers};
use crate::bridge::seams::PartitionId;
use crate::bridge::seams::Probed;
use crate::bridge::sight::{PendingState, Sight};
use crate::wire::{Answer, Outcome, OutcomeKind, Record, names, source_of};

pub(super) const TIERS: [&str; 3] =
    ["activity-replies-retry-5s", "activity-replies-retry-10s", "activity-replies-retry-20s"];

/// The partitions that replies of [`P0`] come to on the retry topics.
pub(super) const T: [PartitionId; 3] = [
    PartitionId { topic: 0, partition: 0 },
    PartitionId { topic: 1, partition: 0 },
    PartitionId { topic: 2, partition: 0 },
];

/// Plays a test with a worker on the reply topic and one on the retry topics.
pub(super) fn play(test: impl AsyncFnOnce(&mut Stage, &mut Stage)) {
    play_with(
        |options, _| with_tiers(options),
        async |stage| {
            let mut retry = stage.beside(&T);
            test(stage, &mut retry).await;
            retry.running.abort();
        },
    );
}

/// Waits until something holds, while records flow through the retry topics.
pub(super) async fn eventually(retry: &Stage, what: &str, mut holds: impl FnMut(&Stage) -> bool) {
    retry
        .eventually(what, |retry| {
            T.iter().for_each(|id| retry.deliver_retries(*id));
            holds(retry)
        })
        .await;
}

/// The outcome of the only reply, once it is there, and everything that stood on retry topics is passed.
pub(super) async fn the_outcome(retry: &Stage) -> Outcome {
    eventually(retry, "an outcome", |s| !s.log.outcomes.borrow().is_empty()).await;
    let passed = |s: &Stage| {
        T.iter().all(|id| {
            let count = s.log.on_retry_topic(*id, 0).len();
            count == 0 || s.log.stored(*id) == i64::try_from(count).ok()
        })
    };
    eventually(retry, "all passed", passed).await;
    let outcomes = retry.log.outcomes.borrow();
    assert_eq!(outcomes.len(), 1);
    outcomes[0].clone()
}

/// The retry topics that a reply went through.
pub(super) fn path(stage: &Stage) -> Vec<String> {
    stage.log.retries.borrow().iter().map(|(record, _)| record.topic.to_string()).collect()
}

fn header(record: &crate::wire::OutRecord, name: &str) -> String {
    String::from_utf8(record.headers.last(name).expect(name).to_vec()).unwrap()
}

fn cancel(activity: &str) -> Record {
    reply(token(activity), Answer::Cancel { details: None })
}

#[test]
fn a_reply_whose_tries_in_place_are_spent_is_applied_from_a_retry_topic() {
    play(async |stage, retry| {
        stage.engine.script("a1", vec![unavailable(); 8]);
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        let outcome = the_outcome(retry).await;
        assert_eq!(
            (outcome.kind, outcome.attempts),
            (OutcomeKind::Applied, 9),
            "5 in place, 3 more and the one that went"
        );
        assert_eq!((&*outcome.source.topic, outcome.source.offset), ("activity-replies", 0), "the origin");
        assert_eq!(path(stage), TIERS[..1]);
        let moved = stage.log.retries.borrow()[0].0.clone();
        assert_eq!(header(&moved, names::ATTEMPTS), "5");
        assert_eq!(header(&moved, names::LAST_ERROR), "UNAVAILABLE: history is down");
        let first_seen = header(&moved, names::FIRST_SEEN);
        let document: serde_json::Value =
            serde_json::from_slice(stage.log.outcome_records.borrow()[0].value.as_ref().unwrap()).unwrap();
        assert_eq!(document["received_at"], first_seen, "when it was first in hand");
        assert!(stage.metric("handback_postponed_total{cause=\"failing\"} 1"));
        let calls = stage.engine.calls_for("a1");
        let pause = calls[5].at - calls[4].at;
        assert!((seconds(5)..seconds(6)).contains(&pause), "the tier's delay: {pause:?}");
        assert_eq!(calls[0].identity, calls[8].identity, "who does it is the origin record");
    });
}

#[test]
fn a_panic_while_an_end_is_noted_ends_neither_the_process_nor_makes_a_second_outcome() {
    play(async |stage, retry| {
        stage.engine.script("a1", vec![unavailable(); 5]);
        stage.shared.postponed.breaks();
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        let outcome = the_outcome(retry).await;
        assert_eq!((outcome.kind, outcome.reason), (OutcomeKind::Applied, None));
        assert!(stage.log.dead_letters.borrow().is_empty(), "it was applied");
        assert!(!retry.running.is_finished() && !stage.running.is_finished());
    });
}

#[test]
fn offset_waits_for_the_retry_topics_ack() {
    play(async |stage, _| {
        stage.engine.script("a1", vec![unavailable(); 5]);
        stage.log.script(TIERS[0], [transient(), Act::Held]);
        stage.deliver(P0, [complete("a1")]);
        stage.pass(seconds(30)).await;
        assert_eq!((stage.log.stored(P0), stage.engine.count("a1")), (None, 5), "neither passed nor called again");
        stage.log.release(TIERS[0]);
        stage.eventually_stored(P0, 1).await;
        let at = |event: &Event| stage.log.position(event).unwrap();
        assert!(at(&Event::Acknowledged(TIERS[0].to_owned(), 0)) < at(&Event::Stored(P0, 1)));
    });
}

#[test]
fn a_reply_that_fails_on_every_tier_is_exhausted_and_its_replayed_dead_letter_is_applied() {
    play(async |stage, retry| {
        stage.engine.script("a1", vec![unavailable(); 20]);
        let sent = complete("a1");
        stage.deliver(P0, [sent.clone()]);
        let outcome = the_outcome(retry).await;
        assert_eq!((outcome.kind, outcome.attempts), (OutcomeKind::Exhausted, 20));
        assert_eq!(path(stage), TIERS);
        let letter = stage.log.dead_letters.borrow()[0].clone();
        assert_eq!((&letter.key, &letter.value), (&sent.key, &sent.value), "as received");
        assert_eq!(header(&letter, names::DLQ_ATTEMPTS), "20");
        assert!(letter.headers.count(names::ATTEMPTS) == 0, "what handback wrote for itself is taken away again");
        assert_eq!(source_of(&letter.headers).unwrap(), outcome.source);
        // Replay strips what names the dead letter, and nothing else.
        let headers = letter.headers.iter().filter(|(name, _)| !name.starts_with("handback-dlq-"));
        let headers = headers.map(|(name, value)| (name.clone(), value.cloned())).collect();
        stage.deliver(P0, [Record { headers, ..sent }]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Exhausted, OutcomeKind::Applied]);
    });
}

#[test]
fn a_workflow_that_the_engine_does_not_know_yet_is_asked_for_again() {
    play(async |stage, retry| {
        stage.engine.script("a1", vec![not_found(); 2]);
        stage.engine.on_look(|_| Ok(Sight::Nothing));
        stage.deliver(P0, [complete("a1")]);
        let outcome = the_outcome(retry).await;
        assert_eq!((outcome.kind, outcome.attempts), (OutcomeKind::Applied, 3));
        assert_eq!(path(stage), TIERS[..2]);
    });
}

#[test]
fn a_workflow_that_nobody_ever_knows_is_unknown_after_the_last_tier() {
    play(async |stage, retry| {
        stage.engine.always(not_found());
        stage.engine.on_look(|_| Ok(Sight::Nothing));
        stage.deliver(P0, [complete("a1")]);
        let outcome = the_outcome(retry).await;
        assert_eq!((outcome.kind, outcome.attempts), (OutcomeKind::Unknown, 4));
        assert_eq!(path(stage), TIERS);
        assert_eq!(stage.log.dead_letters.borrow().len(), 1);
    });
}

#[test]
fn a_cancel_that_nobody_asked_for_waits_once_and_is_told_so() {
    play(async |stage, retry| {
        stage.engine.on_look(|_| Ok(open("a1", 0, PendingState::Started)));
        stage.deliver(P0, [cancel("a1")]);
        let began = tokio::time::Instant::now();
        stage.eventually_stored(P0, 1).await;
        assert!(began.elapsed() < seconds(4), "it does not hold its partition: {:?}", began.elapsed());
        let outcome = the_outcome(retry).await;
        assert_eq!((outcome.kind, outcome.reason.as_deref()), (OutcomeKind::Rejected, Some("cancel_not_requested")));
        assert_eq!((path(stage).as_slice(), stage.engine.count("a1")), (&[TIERS[0].to_owned()][..], 0));
    });
}

#[test]
fn a_cancel_that_came_before_its_request_is_applied() {
    play(async |stage, retry| {
        let began = tokio::time::Instant::now();
        stage.engine.on_look(move |_| {
            let asked = began.elapsed() > seconds(4);
            Ok(open("a1", 0, if asked { PendingState::CancelRequested } else { PendingState::Started }))
        });
        stage.deliver(P0, [cancel("a1")]);
        assert_eq!(the_outcome(retry).await.kind, OutcomeKind::Applied);
    });
}

#[test]
fn while_the_engine_as_a_whole_is_unwell_nothing_leaves_and_nothing_is_counted() {
    play(async |stage, retry| {
        *stage.engine.history.borrow_mut() = Probed::Unwell("no history host".to_owned());
        stage.engine.always(unavailable());
        // Too few for the breaker to see.
        stage.deliver(P0, completes(0..3));
        stage.pass(seconds(100)).await;
        assert!(path(stage).is_empty(), "{:?}", path(stage));
        *stage.engine.history.borrow_mut() = Probed::Well;
        stage.engine.always(Step::Ok);
        stage.eventually_stored(P0, 3).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied; 3]);
        assert!(path(retry).is_empty());
    });
}

#[test]
fn what_failed_before_the_breaker_opened_is_not_counted() {
    play(async |stage, _| {
        let began = tokio::time::Instant::now();
        stage.engine.on_call(move |_| if began.elapsed() < seconds(20) { unavailable() } else { Step::Ok });
        *stage.engine.history.borrow_mut() = Probed::Unwell("no history host".to_owned());
        stage.deliver(P0, completes(0..40));
        stage.eventually("the breaker open", |s| s.metric("handback_breaker_state{worker=\"0\"} 2")).await;
        // The engine answers probes before it answers calls: the trial's failures are no record's own.
        *stage.engine.history.borrow_mut() = Probed::Well;
        stage.eventually_stored(P0, 40).await;
        assert!(path(stage).is_empty(), "{:?}", path(stage));
    });
}

#[test]
fn nothing_is_taken_up_before_it_is_due_and_the_partition_is_not_read() {
    play(async |stage, retry| {
        stage.engine.script("a1", vec![unavailable(); 5]);
        stage.deliver(P0, [complete("a1")]);
        eventually(retry, "held", |s| s.log.paused.borrow().contains(&T[0])).await;
        retry.pass(seconds(3)).await;
        assert_eq!(stage.engine.count("a1"), 5);
        the_outcome(retry).await;
        eventually(retry, "read again", |s| s.log.paused.borrow().is_empty()).await;
    });
}

#[test]
fn a_tier_keeps_the_order_in_which_replies_came_to_it() {
    play(async |stage, retry| {
        stage.engine.on_look(|_| Ok(Sight::Nothing));
        for number in 0..20 {
            stage.engine.script(&format!("a{number}"), [not_found()]);
            stage.deliver(P0, [complete(&format!("a{number}"))]);
            stage.pass(millis(200)).await;
        }
        eventually(retry, "all", |s| s.log.outcomes.borrow().len() == 20).await;
        let calls = stage.engine.calls.borrow();
        let last: Vec<_> =
            (0..20).map(|n| calls.iter().rposition(|c| c.activity == format!("a{n}")).unwrap()).collect();
        assert!(last.is_sorted(), "{last:?}");
    });
}

#[test]
fn a_clock_that_is_wrong_holds_a_tier_for_no_longer_than_its_delay() {
    play(async |stage, retry| {
        stage.engine.script("a1", vec![unavailable(); 5]);
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        let late = Bytes::from_static(b"2199-01-01T00:00:00.000Z");
        retry.log.retries.borrow_mut()[0].0.headers.push(names::NOT_BEFORE, late);
        retry.pass(seconds(30)).await;
        T.iter().for_each(|id| retry.deliver_retries(*id));
        retry.pass(millis(4_900)).await;
        assert_eq!(stage.engine.count("a1"), 5, "from when it came");
        retry.pass(millis(500)).await;
        assert_eq!(stage.engine.count("a1"), 6);
        eventually(retry, "an outcome", |s| s.log.outcomes.borrow().len() == 1).await;
    });
}

#[test]
fn attempts_and_first_seen_are_exact_across_a_crash_and_a_rebalance() {
    play(async |stage, retry| {
        stage.engine.script("a1", vec![unavailable(); 12]);
        stage.deliver(P0, [complete("a1")]);
        eventually(retry, "called from the first tier", |s| s.engine.count("a1") == 7).await;
        let first_seen = header(&stage.log.retries.borrow()[0].0, names::FIRST_SEEN);
        // What it had tried is forgotten with it: the calls of a process that died are nowhere written.
        retry.crash();
        retry.log.assign(&T);
        retry.read(T[0], 0, 1);
        eventually(retry, "on the second tier", |s| s.log.stored(T[0]) == Some(1)).await;
        retry.log.lose(&T);
        retry.log.assign(&T);
        retry.read(T[1], 0, 1);
        let moved = stage.log.retries.borrow()[1].0.clone();
        assert_eq!((header(&moved, names::ATTEMPTS), header(&moved, names::FIRST_SEEN)), ("10".into(), first_seen));
        eventually(retry, "an outcome", |s| !s.log.outcomes.borrow().is_empty()).await;
        assert_eq!(stage.outcome_of(0).unwrap().kind, OutcomeKind::Applied);
    });
}
