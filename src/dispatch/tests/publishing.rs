//! From poll to log: what is left pending, and what is failed.

use std::time::Duration;

use super::model::{NOT_PUBLISHED, SECOND, Stage, TOPIC, Write, refusal, task, transient};
use crate::admin::Dispatched;
use crate::bridge::seams::{ProduceFault, Verdict};
use crate::dispatch::Ending;

#[tokio::test(start_paused = true)]
async fn an_activity_becomes_a_request_and_is_left_pending() {
    let mut stage = Stage::set();
    stage.world.schedule(task(1, 30 * SECOND));
    stage.until(SECOND).await;
    let acknowledged = stage.world.acknowledged.borrow();
    let (_, record) = &acknowledged[0];
    assert_eq!((&*record.topic, record.key.as_deref()), (TOPIC, Some(&b"orders/order-1"[..])));
    assert!(stage.world.failed.borrow().is_empty());
    stage.counted(Dispatched::Published, 1);
    stage.shows("handback_dispatch_publish_seconds_count 1");
    stage.shows("handback_dispatch_in_hand 0");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_pending_without_an_acknowledgement() {
    let mut stage = Stage::set();
    stage.world.every_write.replace(Some(Write::Never));
    stage.world.schedule(task(1, 30 * SECOND));
    stage.until(27 * SECOND).await;
    stage.counted(Dispatched::Published, 0);
    stage.shows("handback_dispatch_in_hand 1");
    stage.until(29 * SECOND).await;
    assert_eq!(stage.failures(), [(NOT_PUBLISHED.to_owned(), 28.0)]);
    stage.counted(Dispatched::NotPublished, 1);
    stage.shows("handback_dispatch_in_hand 0");
}

#[tokio::test(start_paused = true)]
async fn a_broker_blip_fails_no_activity() {
    let mut stage = Stage::set();
    stage.world.writes.borrow_mut().extend((0..6).map(|_| transient()));
    stage.world.schedule(task(1, 60 * SECOND));
    stage.until(5 * SECOND).await;
    assert!(!stage.health.is_ready(), "requests wait for longer than a leader election");
    let reasons = stage.health.reasons();
    assert!(reasons[0].1.contains("charges") && reasons[0].1.contains("no leader"), "{reasons:?}");
    // 0.1, 0.2, 0.4, 0.8, 1.6 and 3.2 s after one another.
    stage.until(8 * SECOND).await;
    stage.counted(Dispatched::Published, 1);
    assert!(stage.health.is_ready(), "{:?}", stage.health.reasons());
    stage.shows("handback_dispatch_produce_retries_total 6");
    assert!(stage.world.failed.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_produce_that_fails_is_tried_until_shortly_before_the_deadline() {
    let mut stage = Stage::set();
    stage.world.every_write.replace(Some(transient()));
    stage.world.schedule(task(1, 60 * SECOND));
    stage.until(70 * SECOND).await;
    assert_eq!(stage.failures(), [(NOT_PUBLISHED.to_owned(), 58.0)]);
    let written = stage.world.written.borrow();
    let last = written.last().unwrap().0 - stage.began;
    assert!(last > 52 * SECOND && last < 58 * SECOND, "tried to the end: {last:?}");
    assert!(written.windows(2).all(|two| two[1].0 - two[0].0 <= 5 * SECOND));
    let failed = stage.world.failed.borrow();
    let detail = failed[0].2.details.clone().unwrap();
    assert_eq!(detail, "\"no leader\"", "the workflow is told what was wrong");
    assert!(stage.health.is_ready(), "nothing waits any more");
}

#[tokio::test(start_paused = true)]
async fn a_short_attempt_is_tried_for_half_of_its_time() {
    let mut stage = Stage::set();
    stage.world.every_write.replace(Some(transient()));
    stage.world.schedule(task(1, 3 * SECOND));
    stage.until(4 * SECOND).await;
    assert_eq!(stage.failures(), [(NOT_PUBLISHED.to_owned(), 1.5)]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_over_before_it_came_is_not_published() {
    let mut stage = Stage::set();
    let mut late = task(1, 30 * SECOND);
    late.times.attempt_scheduled_ms = Some(0);
    late.times.schedule_to_close = SECOND;
    stage.world.schedule(late);
    stage.until(SECOND).await;
    assert!(stage.world.written.borrow().is_empty());
    assert_eq!(stage.world.reasons(), [NOT_PUBLISHED]);
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_person_waits_and_says_so() {
    let mut stage = Stage::set();
    let missing = Write::Fail(ProduceFault::Permanent("create charges with `handback topics create`".into()));
    stage.world.every_write.replace(Some(missing));
    stage.world.schedule(task(1, 600 * SECOND));
    stage.until(SECOND).await;
    let reasons = stage.health.reasons();
    assert!(reasons[0].1.contains("topics create"), "{reasons:?}");
    stage.until(100 * SECOND).await;
    stage.world.every_write.replace(None);
    stage.until(106 * SECOND).await;
    stage.counted(Dispatched::Published, 1);
    assert!(stage.health.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_type_without_a_route_fails_with_its_documented_reason() {
    let mut stage = Stage::set();
    let mut stray = task(1, 30 * SECOND);
    stray.activity.activity_type = "Refund".into();
    stage.world.schedule(stray.clone());
    stage.until(SECOND).await;
    let failed = stage.world.failed.borrow();
    let (_, token, failure) = &failed[0];
    assert_eq!((token, failure.reason.as_str()), (&stray.token, "handback.NoRoute"));
    let detail = String::from_utf8(failure.details.clone().unwrap().to_vec()).unwrap();
    assert!(detail.contains("Refund") && detail.contains("dispatch.routes"), "{detail}");
    stage.counted(Dispatched::NoRoute, 1);
    assert!(stage.world.written.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_no_topic_would_take_fails_at_once() {
    let mut stage = Stage::with(|settings| settings.dispatch.max_request_bytes = 2000);
    let mut large = task(1, 600 * SECOND);
    large.input = Some(format!("\"{}\"\n", "x".repeat(2000)).into());
    stage.world.schedule(large);
    stage.world.schedule(task(2, 600 * SECOND));
    stage.until(SECOND).await;
    assert_eq!(stage.world.reasons(), ["handback.TooLarge"]);
    stage.counted(Dispatched::TooLarge, 1);
    stage.counted(Dispatched::Published, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_its_topic_does_not_take_fails_at_once_and_says_nothing_of_the_topic() {
    let mut stage = Stage::set();
    stage.world.writes.borrow_mut().push_back(Write::Fail(ProduceFault::TooLarge("raise max.message.bytes".into())));
    stage.world.schedule(task(1, 600 * SECOND));
    stage.world.schedule(task(2, 600 * SECOND));
    stage.until(SECOND).await;
    assert_eq!(stage.world.reasons(), ["handback.TooLarge"]);
    stage.counted(Dispatched::Published, 1);
    assert!(stage.health.is_ready());
}

#[tokio::test(start_paused = true)]
async fn failing_an_attempt_is_tried_as_long_as_it_lives() {
    let mut stage = Stage::set();
    let busy = || refusal(Verdict::Transient { busy: true }, "RESOURCE_EXHAUSTED");
    stage.world.fail_errors.borrow_mut().extend((0..3).map(|_| busy()));
    let mut stray = task(1, 30 * SECOND);
    stray.activity.activity_type = "Refund".into();
    stage.world.schedule(stray.clone());
    stage.until(10 * SECOND).await;
    stage.counted(Dispatched::NoRoute, 1);
    // For ever: the attempt's own timeout ends it.
    stage.world.fail_errors.borrow_mut().extend((0..1000).map(|_| busy()));
    stage.world.schedule(stray);
    stage.until(41 * SECOND).await;
    stage.counted(Dispatched::Left, 1);
    stage.shows("handback_dispatch_in_hand 0");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_gone_needs_no_failing() {
    let mut stage = Stage::set();
    stage.world.fail_errors.borrow_mut().push_back(refusal(Verdict::NotFound, "NOT_FOUND"));
    let mut stray = task(1, 30 * SECOND);
    stray.activity.activity_type = "Refund".into();
    stage.world.schedule(stray);
    stage.until(SECOND).await;
    stage.counted(Dispatched::Gone, 1);
    assert!(stage.world.failed.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dead_producer_ends_the_process_and_fails_what_is_in_hand() {
    let mut stage = Stage::set();
    stage.world.writes.borrow_mut().extend([Write::Never, Write::Fail(ProduceFault::Fatal("fenced".into()))]);
    stage.world.schedule(task(1, 600 * SECOND));
    stage.world.schedule(task(2, 600 * SECOND));
    let (ending, after) = stage.ending().await;
    assert!(matches!(&ending, Ending::Fatal(text) if text.contains("fenced")), "{ending:?}");
    assert_eq!(stage.world.reasons(), [NOT_PUBLISHED, NOT_PUBLISHED]);
    assert!(after <= 2 * SECOND, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn one_slow_topic_does_not_hold_up_what_else_is_in_hand() {
    let mut stage = Stage::set();
    stage.world.writes.borrow_mut().push_back(Write::AcknowledgeAfter(20 * SECOND));
    (1..=20).for_each(|number| stage.world.schedule(task(number, 60 * SECOND)));
    stage.until(Duration::from_millis(100)).await;
    stage.counted(Dispatched::Published, 19);
    stage.until(21 * SECOND).await;
    stage.counted(Dispatched::Published, 20);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_for_longer_than_a_heartbeat_fails_no_activity() {
    let mut stage = Stage::set();
    stage.world.every_write.replace(Some(transient()));
    let mut task = task(1, 600 * SECOND);
    task.times.heartbeat = 30 * SECOND;
    task.heartbeat_details = Some("40".into());
    stage.world.schedule(task);
    stage.until(120 * SECOND).await;
    stage.world.every_write.replace(None);
    stage.until(180 * SECOND).await;
    stage.counted(Dispatched::Published, 1);
    let beats = stage.world.beats.borrow();
    let times: Vec<_> = beats.iter().map(|(at, _)| (*at - stage.began).as_secs()).collect();
    assert_eq!(times, (1..=12).map(|beat| 10 * beat).collect::<Vec<_>>(), "every 10 s, and none once it is published");
    assert!(beats.iter().all(|(_, details)| details.as_deref() == Some(b"40")), "what an earlier attempt said stays");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_the_engine_knows_no_more_is_not_published_later() {
    let mut stage = Stage::set();
    stage.world.every_write.replace(Some(transient()));
    let mut task = task(1, 600 * SECOND);
    task.times.heartbeat = 30 * SECOND;
    stage.world.schedule(task);
    let away = refusal(Verdict::Transient { busy: false }, "UNAVAILABLE");
    stage.world.beat_errors.borrow_mut().extend([away, refusal(Verdict::NotFound, "NOT_FOUND")]);
    stage.until(21 * SECOND).await;
    stage.counted(Dispatched::Gone, 1);
    stage.world.every_write.replace(None);
    stage.until(120 * SECOND).await;
    assert!(stage.world.acknowledged.borrow().is_empty());
    assert!(stage.world.failed.borrow().is_empty());
    assert!(stage.health.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_publishing_leaves_nothing_pending_and_hurts_no_other() {
    let mut stage = Stage::set();
    stage.world.writes.borrow_mut().extend([Write::Never, Write::Panic]);
    (1..=3).for_each(|number| stage.world.schedule(task(number, 60 * SECOND)));
    stage.until(SECOND).await;
    assert_eq!(stage.world.reasons(), [NOT_PUBLISHED]);
    assert_eq!(stage.world.failed.borrow()[0].1, task(2, SECOND).token);
    stage.counted(Dispatched::Published, 1);
    stage.shows("handback_dispatch_in_hand 1");
    // Even if nothing goes any more, the place is free again.
    stage.world.fail_panics.set(true);
    stage.world.writes.borrow_mut().push_back(Write::Panic);
    stage.world.schedule(task(4, 60 * SECOND));
    stage.until(2 * SECOND).await;
    stage.counted(Dispatched::Left, 1);
    stage.shows("handback_dispatch_in_hand 1");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_nobody_acknowledges_is_a_reason_before_the_client_gives_it_up() {
    let mut stage = Stage::set();
    stage.world.every_write.replace(Some(Write::AcknowledgeAfter(25 * SECOND)));
    stage.world.schedule(task(1, 60 * SECOND));
    stage.until(9 * SECOND).await;
    assert!(stage.health.is_ready(), "a leader election is no reason");
    stage.until(11 * SECOND).await;
    let reasons = stage.health.reasons();
    assert!(reasons[0].1.contains("charges") && reasons[0].1.contains("look at the brokers"), "{reasons:?}");
    stage.until(26 * SECOND).await;
    stage.counted(Dispatched::Published, 1);
    assert!(stage.health.is_ready());
}
