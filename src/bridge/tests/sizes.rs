//! Records that are larger than a topic takes: they must not hold their partition for good.

use bytes::Bytes;

use super::books::{Act, DEAD_LETTERS, OUTCOMES, too_large};
use super::model::unavailable;
use super::retry_topics::{TIERS, play as play_with_retries};
use super::support::{P0, complete, play, rubbish, seconds};
use crate::bridge::seams::PartitionId;
use crate::wire::{Omitted, OutRecord, OutcomeKind, Record, names, source_of};

fn header(record: &OutRecord, name: &str) -> Option<String> {
    record.headers.last(name).map(|text| String::from_utf8(text.to_vec()).unwrap())
}

/// A reply that is rejected, and larger than its dead-letter topic takes when that takes this many bytes of value and headers.
fn takes_at_most(limit: usize) -> impl FnMut(&OutRecord) -> Act {
    move |record| {
        let headers: usize =
            record.headers.iter().map(|(name, value)| name.as_bytes().len() + value.map_or(0, Bytes::len)).sum();
        let size = record.value.as_ref().map_or(0, Bytes::len) + record.key.as_ref().map_or(0, Bytes::len) + headers;
        if &*record.topic == DEAD_LETTERS && size > limit { too_large() } else { Act::Ack }
    }
}

const LARGE: &[u8] = &[b'x'; 20_000];

#[test]
fn a_dead_letter_that_no_broker_takes_is_written_without_its_value_and_says_so() {
    play(async |stage| {
        stage.log.on_write(takes_at_most(10_000));
        let received = rubbish(LARGE);
        stage.deliver(P0, [received.clone(), complete("a1")]);
        stage.eventually_stored(P0, 2).await;
        let letters = stage.log.dead_letters.borrow();
        assert_eq!(letters.len(), 1);
        let letter = &letters[0];
        assert_eq!((&letter.key, &letter.value), (&received.key, &None));
        assert!(letter.headers.iter().take(received.headers.len()).eq(received.headers.iter()));
        assert_eq!(header(letter, names::DLQ_VALUE_OMITTED), Some(Omitted::of(LARGE).to_string()));
        assert_eq!(header(letter, names::DLQ_REASON).as_deref(), Some("bad_json"), "its own reason stays");
        assert_eq!(source_of(&letter.headers).unwrap().to_string(), "activity-replies/0/0");
        assert_eq!(stage.log.kinds()[0], OutcomeKind::Rejected);
        assert!(stage.shared.health.is_ready(), "nobody has to do anything: {}", stage.reasons());
    });
}

#[test]
fn headers_that_are_too_large_by_themselves_are_left_out_as_well() {
    play(async |stage| {
        stage.log.on_write(takes_at_most(10_000));
        let mut received = rubbish(b"?");
        received.headers.push("large", Bytes::from_static(LARGE));
        stage.deliver(P0, [received, complete("a1")]);
        stage.eventually_stored(P0, 2).await;
        let letters = stage.log.dead_letters.borrow();
        assert_eq!(letters[0].headers.count("large"), 0);
        assert!(header(&letters[0], names::DLQ_HEADERS_OMITTED).unwrap().starts_with("count=3;size="));
        assert_eq!(header(&letters[0], names::DLQ_VALUE_OMITTED), Some(Omitted::of(b"?").to_string()));
    });
}

#[test]
fn a_topic_that_takes_not_even_that_has_to_be_mended() {
    play(async |stage| {
        stage.log.always(DEAD_LETTERS, too_large());
        stage.deliver(P0, [rubbish(b"?")]);
        stage.eventually("unready", |s| !s.shared.health.is_ready()).await;
        assert!(stage.reasons().contains("raise max.message.bytes"), "{}", stage.reasons());
        stage.log.on_write(|_| Act::Ack);
        stage.eventually_stored(P0, 1).await;
        assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
    });
}

/// An outcome is small whatever the reply was: a topic that does not take it can be mended, and nothing of it can be left out.
#[test]
fn an_outcome_that_is_too_large_waits_for_its_topic() {
    play(async |stage| {
        stage.log.script(OUTCOMES, vec![too_large(); 3]);
        stage.deliver(P0, [complete("a0")]);
        stage.eventually("unready", |s| !s.shared.health.is_ready()).await;
        assert_eq!(stage.log.stored(P0), None);
        stage.eventually_stored(P0, 1).await;
        assert_eq!((stage.engine.total(), stage.log.kinds().len()), (1, 1));
        assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
    });
}

/// A reply that a retry topic does not take becomes a dead letter that says why, and its partition goes on.
#[test]
fn a_reply_that_is_too_large_for_a_retry_topic_becomes_a_dead_letter() {
    play_with_retries(async |stage, _| {
        stage.engine.script("a1", vec![unavailable(); 5]);
        stage.log.on_write(|record| if &*record.topic == TIERS[0] { too_large() } else { Act::Ack });
        let received = complete("a1");
        stage.deliver(P0, [received.clone(), complete("a2")]);
        stage.eventually_stored(P0, 2).await;
        let outcome = stage.outcome_of(0).unwrap();
        assert_eq!((outcome.kind, outcome.reason.as_deref()), (OutcomeKind::Exhausted, Some("too_large_to_wait")));
        assert_eq!(outcome.attempts, 5);
        let detail = outcome.detail.unwrap();
        assert!(detail.contains("history is down") && detail.contains("raise max.message.bytes"), "{detail}");
        let letters = stage.log.dead_letters.borrow();
        assert_eq!((letters.len(), &letters[0].value), (1, &received.value), "the dead-letter topic takes it whole");
        assert_eq!(header(&letters[0], names::DLQ_REASON).as_deref(), Some("too_large_to_wait"));
        assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
    });
}

/// The same on the way from one retry topic to the next: what was tried before counts.
#[test]
fn a_reply_on_a_retry_topic_that_the_next_does_not_take_becomes_a_dead_letter() {
    play_with_retries(async |stage, retry| {
        stage.engine.script("a1", vec![unavailable(); 12]);
        stage.log.on_write(|record| if &*record.topic == TIERS[1] { too_large() } else { Act::Ack });
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        let id = PartitionId { topic: 0, partition: 0 };
        retry
            .eventually("a dead letter", |retry| {
                retry.deliver_retries(id);
                !retry.log.dead_letters.borrow().is_empty() && retry.log.stored(id) == Some(1)
            })
            .await;
        let outcome = stage.outcome_of(0).unwrap();
        assert_eq!((outcome.kind, outcome.reason.as_deref()), (OutcomeKind::Exhausted, Some("too_large_to_wait")));
        assert_eq!(outcome.attempts, 10, "on the reply topic and on the retry topic");
        stage.pass(seconds(1)).await;
        let replay = |letter: &OutRecord| Record { value: letter.value.clone(), ..complete("a1") };
        assert_eq!(stage.log.dead_letters.borrow().iter().map(replay).next(), Some(complete("a1")));
    });
}
