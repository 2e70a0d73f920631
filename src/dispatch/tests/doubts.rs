//! While a topic cannot be written, activities stay on their lists, and what goes elsewhere does not wait for them.

use super::model::{SECOND, Stage, TOPIC, Write, task};
use crate::admin::Dispatched;
use crate::config::Route;

#[tokio::test(start_paused = true)]
async fn while_nothing_can_be_written_activities_stay_on_their_list_but_for_one_at_a_time() {
    let mut stage = Stage::set();
    stage.world.every_write.replace(Some(Write::Never));
    (0..100).for_each(|number| stage.world.schedule(task(number, 10 * SECOND)));
    // What was in hand when it was not known yet: eight, given up two seconds before their deadline.
    stage.until(9 * SECOND).await;
    assert_eq!(stage.world.reasons().len(), 8);
    assert_eq!((stage.world.writing.get(), stage.world.waiting()), (1, 91));
    stage.until(10 * SECOND).await;
    assert!(!stage.health.is_ready(), "sooner than at first");
    // Eight seconds each.
    stage.until(49 * SECOND).await;
    assert_eq!(stage.world.reasons().len(), 8 + 5);
    assert_eq!(stage.world.writing.get(), 1);
    // The next one is acknowledged, and then as many as ever are in hand.
    stage.world.every_write.replace(Some(Write::AcknowledgeAfter(SECOND)));
    stage.until(56 * SECOND + SECOND / 2).await;
    assert_eq!(stage.world.writing.get(), 1);
    stage.until(57 * SECOND + SECOND / 2).await;
    assert_eq!(stage.world.writing.get(), 8);
    stage.until(70 * SECOND).await;
    stage.counted(Dispatched::Published, 100 - 8 - 6);
    assert!(stage.health.is_ready());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_over_before_it_came_says_nothing_of_its_topic() {
    let mut stage = Stage::set();
    let mut late = task(1, 30 * SECOND);
    late.times.attempt_scheduled_ms = Some(0);
    late.times.schedule_to_close = SECOND;
    stage.world.schedule(late);
    stage.until(SECOND).await;
    stage.world.every_write.replace(Some(Write::AcknowledgeAfter(5 * SECOND)));
    (2..6).for_each(|number| stage.world.schedule(task(number, 60 * SECOND)));
    stage.until(2 * SECOND).await;
    assert_eq!(stage.world.writing.get(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_topic_keeps_nothing_from_its_list_that_goes_elsewhere() {
    let mut stage = Stage::with(|settings| {
        let other = Route { activity_type: "*".into(), topic: "rest".into(), ..settings.dispatch.routes[0].clone() };
        settings.dispatch.routes.push(other);
        settings.dispatch.max_in_hand = 100;
    });
    stage.world.mute.replace(Some(TOPIC));
    stage.world.schedule(task(0, 3600 * SECOND));
    stage.until(11 * SECOND).await;
    assert!(!stage.health.is_ready(), "it is known by now");
    for number in 1..=8 {
        let mut next = task(number, 3600 * SECOND);
        if number % 4 != 1 {
            next.activity.activity_type = "Refund".into();
        }
        stage.world.schedule(next);
    }
    stage.until(75 * SECOND).await;
    stage.counted(Dispatched::Published, 6);
    assert_eq!(stage.world.writing.get(), 3, "the others wait for their topic");
    stage.world.mute.replace(None);
}
