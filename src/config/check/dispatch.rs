//! What is wrong with `[dispatch]`.

use super::Checks;
use crate::config::{Route, Settings};

/// Longest name of a task list and of an activity type: Cadence's own limit.
const MAX_NAME: usize = 1000;

/// Checks the section; `needed` when activities are going to be dispatched.
pub(super) fn check(checks: &mut Checks<'_>, settings: &Settings, needed: bool) {
    let dispatch = &settings.dispatch;
    checks.at_least_one("dispatch.pollers", dispatch.pollers);
    checks.at_least_one("dispatch.max_in_hand_bytes", dispatch.max_in_hand_bytes);
    checks.at_least_one("dispatch.max_request_bytes", dispatch.max_request_bytes);
    checks.positive("dispatch.give_up_before", dispatch.give_up_before);
    checks.must(&["dispatch.routes"], !needed || !dispatch.routes.is_empty(), || {
        "is required: at least one [[dispatch.routes]] with domain, task_list and activity_type".into()
    });
    let lists = lists(&dispatch.routes).max(1);
    checks.must(
        &["dispatch.max_in_hand", "dispatch.pollers", "dispatch.routes"],
        dispatch.pollers.checked_mul(lists).is_some_and(|polls| polls <= dispatch.max_in_hand),
        || {
            format!(
                "must be at least dispatch.pollers for each of the {lists} task lists: a poll has a place for its task"
            )
        },
    );
    for number in 0..dispatch.routes.len() {
        route(checks, settings, number);
    }
}

/// How many task lists the routes name.
fn lists(routes: &[Route]) -> usize {
    let mut lists: Vec<_> = routes.iter().map(|route| (&route.domain, &route.task_list)).collect();
    lists.sort_unstable();
    lists.dedup();
    lists.len()
}

fn route(checks: &mut Checks<'_>, settings: &Settings, number: usize) {
    let routes = &settings.dispatch.routes;
    let route = &routes[number];
    let whole = "dispatch.routes";
    let name = |field: &str| format!("{whole}[{number}].{field}");
    for (field, value) in
        [("domain", &route.domain), ("task_list", &route.task_list), ("activity_type", &route.activity_type)]
    {
        let is_name = (1..=MAX_NAME).contains(&value.len());
        checks.must(&[name(field).as_str(), whole], is_name, || format!("is required: 1 to {MAX_NAME} bytes"));
    }
    let domains = &settings.cadence.domains;
    let listed = domains.is_empty() || domains.contains(&route.domain);
    checks.must(&[name("domain").as_str(), whole, "cadence.domains"], listed, || {
        format!("{:?} is not one of cadence.domains: its replies would be refused", route.domain)
    });
    let topics = &settings.topics;
    let known = route.reply_to.is_empty() || topics.replies.contains(&route.reply_to);
    checks.must(&[name("reply_to").as_str(), whole, "topics.replies"], known, || {
        format!("{:?} is not one of topics.replies: nobody would read it", route.reply_to)
    });
    let topic = &route.topic;
    checks.must(&[name("topic").as_str(), whole], topic.is_empty() || super::is_topic_name(topic), || {
        format!("{topic:?} is no topic name")
    });
    let others = topics.replies.iter().chain(&topics.retry).chain([&topics.outcomes, &topics.dead_letters]);
    checks.must(&[name("topic").as_str(), whole], !others.into_iter().any(|other| other == topic), || {
        format!("{topic:?} is a topic of the bridge already; requests need one of their own")
    });
    let same = |other: &Route| {
        (&other.domain, &other.task_list, &other.activity_type)
            == (&route.domain, &route.task_list, &route.activity_type)
    };
    checks.must(&[name("activity_type").as_str(), whole], !routes[..number].iter().any(same), || {
        "has a route already: this domain, task list and activity type are named twice".into()
    });
}
