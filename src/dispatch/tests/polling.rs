//! Asking for activities: how often, how many, and what when it is refused.

use std::time::Duration;

use super::model::{SECOND, Stage, Write, refusal, task};
use crate::admin::Dispatched;
use crate::bridge::seams::{Verdict, Wiring};
use crate::dispatch::Ending;

/// Polls begun until now.
fn polls(stage: &Stage) -> usize {
    stage.world.polls.borrow().len()
}

#[tokio::test(start_paused = true)]
async fn as_many_polls_wait_at_once_as_are_set() {
    let mut stage = Stage::with(|settings| settings.dispatch.pollers = 3);
    stage.until(SECOND).await;
    assert_eq!((polls(&stage), stage.world.polling.get()), (3, 3));
    // An empty list is asked again after a minute.
    stage.until(61 * SECOND).await;
    assert_eq!((polls(&stage), stage.world.polling.get()), (6, 3));
    assert!(stage.world.polls.borrow().iter().all(|(_, within)| *within > 60 * SECOND), "long polls");
}

#[tokio::test(start_paused = true)]
async fn no_more_activities_are_in_hand_than_there_are_places() {
    let mut stage = Stage::with(|settings| settings.dispatch.max_in_hand = 5);
    stage.world.every_write.replace(Some(Write::AcknowledgeAfter(10 * SECOND)));
    (0..20).for_each(|number| stage.world.schedule(task(number, 600 * SECOND)));
    stage.until(SECOND).await;
    assert_eq!((stage.world.most_writing.get(), stage.world.waiting()), (5, 15));
    stage.shows("handback_dispatch_in_hand 5");
    assert_eq!(stage.world.polling.get(), 0, "a poll has a place for what it brings");
    stage.until(100 * SECOND).await;
    assert_eq!(stage.world.most_writing.get(), 5);
    stage.counted(Dispatched::Published, 20);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_polled_for_while_the_bytes_in_hand_are_too_many() {
    let mut stage = Stage::with(|settings| settings.dispatch.max_in_hand_bytes = 2000);
    stage.world.every_write.replace(Some(Write::AcknowledgeAfter(10 * SECOND)));
    stage.until(SECOND).await;
    for number in 0..6 {
        let mut large = task(number, 600 * SECOND);
        large.input = Some(format!("\"{}\"\n", "x".repeat(5000)).into());
        stage.world.schedule(large);
    }
    stage.until(2 * SECOND).await;
    assert_eq!(stage.world.writing.get(), 2, "what the polls brought that were under way");
    stage.until(70 * SECOND).await;
    assert_eq!(stage.world.most_writing.get(), 2);
    stage.counted(Dispatched::Published, 6);
}

#[tokio::test(start_paused = true)]
async fn activities_come_no_faster_than_set() {
    let mut stage = Stage::with(|settings| settings.dispatch.max_tasks_per_second = 10);
    (0..100).for_each(|number| stage.world.schedule(task(number, 600 * SECOND)));
    stage.until(Duration::from_millis(4950)).await;
    let published = stage.world.acknowledged.borrow().len();
    assert!((48..=50).contains(&published), "{published} in 5 s at 10/s");
    stage.until(Duration::from_millis(10_050)).await;
    stage.counted(Dispatched::Published, 100);
}

#[tokio::test(start_paused = true)]
async fn turns_that_nobody_took_are_not_saved_up() {
    let mut stage = Stage::with(|settings| {
        settings.dispatch.max_tasks_per_second = 10;
        settings.dispatch.pollers = 1;
    });
    stage.until(30 * SECOND).await;
    (0..100).for_each(|number| stage.world.schedule(task(number, 600 * SECOND)));
    stage.until(31 * SECOND).await;
    let published = stage.world.acknowledged.borrow().len();
    assert!((10..=12).contains(&published), "{published} in a second at 10/s");
}

#[tokio::test(start_paused = true)]
async fn polls_that_fail_back_off_and_say_so() {
    let mut stage = Stage::with(|settings| settings.dispatch.pollers = 1);
    let error = || refusal(Verdict::Transient { busy: false }, "UNAVAILABLE");
    stage.world.poll_errors.borrow_mut().extend((0..8).map(|_| error()));
    stage.until(Duration::from_millis(100)).await;
    assert!(stage.health.is_ready(), "a frontend that restarts is no reason");
    stage.until(2 * SECOND).await;
    let reasons = stage.health.reasons();
    assert!(reasons[0].1.contains("task list list of domain orders") && reasons[0].1.contains("UNAVAILABLE"));
    // 50, 100, 200, 400 ms, then every 10 s.
    stage.until(35 * SECOND).await;
    let begun: Vec<_> = stage.world.polls.borrow().iter().map(|(at, _)| (*at - stage.began).as_millis()).collect();
    assert_eq!(begun, [0, 50, 150, 350, 750, 10_750, 20_750, 30_750]);
    // What comes after a failure is a short poll, so that a list without tasks is soon known to be well.
    stage.until(44 * SECOND).await;
    assert!(stage.health.is_ready(), "{:?}", stage.health.reasons());
    stage.until(60 * SECOND).await;
    assert!(stage.world.polls.borrow().last().unwrap().1 > 60 * SECOND, "and then polls are long again");
}

#[tokio::test(start_paused = true)]
async fn a_busy_engine_is_asked_less_often() {
    let mut stage = Stage::with(|settings| settings.dispatch.pollers = 1);
    stage.world.poll_errors.borrow_mut().push_back(refusal(Verdict::Transient { busy: true }, "RESOURCE_EXHAUSTED"));
    stage.until(SECOND).await;
    assert_eq!(polls(&stage), 1);
    stage.until(2 * SECOND).await;
    assert_eq!(polls(&stage), 2);
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_is_unknown_or_elsewhere_is_a_reason_at_once() {
    for (verdict, remedy) in [
        (Verdict::UnknownDomain, "register domain orders"),
        (Verdict::DomainNotActive, "fail the domain over"),
        (Verdict::NotFound, "correct domain and task_list"),
    ] {
        let mut stage = Stage::with(|settings| settings.dispatch.pollers = 1);
        stage.world.poll_errors.borrow_mut().push_back(refusal(verdict, "NOT_FOUND"));
        stage.until(Duration::from_millis(10)).await;
        let reasons = stage.health.reasons();
        assert!(reasons[0].1.contains(remedy), "{reasons:?}");
        stage.world.schedule(task(1, 30 * SECOND));
        stage.until(SECOND).await;
        assert!(stage.health.is_ready());
        stage.counted(Dispatched::Published, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn broken_wiring_ends_the_process_once_it_is_confirmed() {
    let mut stage = Stage::set();
    stage.world.wiring.replace(Some(Wiring::Broken("UNIMPLEMENTED".into())));
    let error = || refusal(Verdict::Wiring, "UNIMPLEMENTED");
    stage.world.poll_errors.borrow_mut().extend((0..1000).map(|_| error()));
    stage.world.every_write.replace(Some(Write::Never));
    let (ending, _) = stage.ending().await;
    assert!(matches!(&ending, Ending::Wiring(text) if text == "UNIMPLEMENTED"), "{ending:?}");
    let probes = stage.world.probes.borrow();
    assert_eq!(probes.len(), 3);
    assert!(probes.windows(2).all(|two| two[1] - two[0] >= SECOND), "not three in one breath");
}

#[tokio::test(start_paused = true)]
async fn one_odd_answer_or_a_poll_that_is_not_allowed_ends_nothing() {
    let mut stage = Stage::with(|settings| settings.dispatch.pollers = 1);
    stage.world.poll_errors.borrow_mut().extend((0..7).map(|_| refusal(Verdict::Wiring, "PERMISSION_DENIED")));
    stage.until(20 * SECOND).await;
    let reasons = stage.health.reasons();
    assert!(reasons[0].1.contains("let this caller poll"), "{reasons:?}");
    assert!(!stage.world.probes.borrow().is_empty());
    stage.world.schedule(task(1, 30 * SECOND));
    stage.until(40 * SECOND).await;
    assert!(stage.health.is_ready());
    stage.counted(Dispatched::Published, 1);
}
