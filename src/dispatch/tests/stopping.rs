//! Stopping in order: what was polled is published before the process leaves.

use std::time::Duration;

use super::model::{NOT_PUBLISHED, SECOND, Stage, Write, refusal, task, transient};
use crate::admin::Dispatched;
use crate::bridge::seams::Verdict;
use crate::dispatch::Ending;

#[tokio::test(start_paused = true)]
async fn what_was_polled_is_published_before_it_leaves() {
    let mut stage = Stage::set();
    stage.world.every_write.replace(Some(Write::AcknowledgeAfter(5 * SECOND)));
    (0..6).for_each(|number| stage.world.schedule(task(number, 600 * SECOND)));
    stage.until(SECOND).await;
    assert_eq!(stage.world.writing.get(), 6);
    stage.stop.cancel();
    let (ending, after) = stage.ending().await;
    assert_eq!((ending, after), (Ending::Drained, 5 * SECOND));
    stage.counted(Dispatched::Published, 6);
    stage.each_was_published_or_failed(6);
}

#[tokio::test(start_paused = true)]
async fn an_idle_dispatcher_stops_without_waiting_for_its_polls() {
    let mut stage = Stage::set();
    stage.until(10 * SECOND).await;
    stage.stop.cancel();
    let (ending, after) = stage.ending().await;
    assert_eq!(ending, Ending::Drained);
    assert!(after <= 11 * SECOND, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_poll_brings_home_after_the_signal_is_published_too() {
    let mut stage = Stage::set();
    stage.until(SECOND).await;
    stage.stop.cancel();
    stage.until(SECOND + SECOND / 2).await;
    stage.world.schedule(task(1, 600 * SECOND));
    let (ending, _) = stage.ending().await;
    assert_eq!(ending, Ending::Drained);
    stage.counted(Dispatched::Published, 1);
    let begun = stage.world.polls.borrow().iter().filter(|(at, _)| *at - stage.began > SECOND).count();
    assert_eq!(begun, 0, "no new poll after the signal");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_published_by_the_end_is_failed_and_not_left_for_hours() {
    let mut stage = Stage::set();
    stage.world.every_write.replace(Some(transient()));
    stage.world.schedule(task(1, 3000 * SECOND));
    stage.world.schedule(task(2, 3000 * SECOND));
    stage.until(10 * SECOND).await;
    stage.stop.cancel();
    let (ending, _) = stage.ending().await;
    assert_eq!(ending, Ending::Drained);
    // Stopped at 10 s, 20 s to drain, the last two of them for the engine.
    assert_eq!(stage.failures(), [(NOT_PUBLISHED.to_owned(), 28.0), (NOT_PUBLISHED.to_owned(), 28.0)]);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_comes_back_while_it_stops_gets_what_waited() {
    let mut stage = Stage::set();
    stage.world.every_write.replace(Some(transient()));
    stage.world.schedule(task(1, 3000 * SECOND));
    stage.until(10 * SECOND).await;
    stage.stop.cancel();
    stage.until(20 * SECOND).await;
    stage.world.every_write.replace(None);
    let (ending, _) = stage.ending().await;
    assert_eq!(ending, Ending::Drained);
    stage.counted(Dispatched::Published, 1);
    assert!(stage.world.failed.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missed_deadline_says_how_many_were_left() {
    let mut stage = Stage::set();
    stage.world.every_write.replace(Some(transient()));
    let gone = || refusal(Verdict::Transient { busy: false }, "UNAVAILABLE");
    stage.world.fail_errors.borrow_mut().extend((0..1000).map(|_| gone()));
    stage.world.schedule(task(1, 3000 * SECOND));
    stage.until(10 * SECOND).await;
    stage.stop.cancel();
    let (ending, after) = stage.ending().await;
    assert_eq!((ending, after), (Ending::DrainMissed(1), 30 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_anything_was_polled_is_a_stop() {
    let mut stage = Stage::set();
    stage.stop.cancel();
    let (ending, after) = stage.ending().await;
    assert_eq!(ending, Ending::Drained);
    assert!(after <= Duration::from_secs(1));
    assert!(stage.world.polls.borrow().is_empty());
}
