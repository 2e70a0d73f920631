//! Which activities go where. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::seams::TaskList;
use crate::config::{ANY_ACTIVITY, Route as RouteSettings, Settings};
use crate::wire::Encoding;

/// Where the requests of one activity type go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) topic: Arc<str>,
    pub(crate) reply_to: String,
    pub(crate) encoding: Encoding,
}

/// The routes of one task list.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    pub(crate) list: TaskList,
    routes: HashMap<String, Route>,
}

impl Routed {
    /// The route of an activity type: its own, or that of every other.
    pub(crate) fn of(&self, activity_type: &str) -> Option<&Route> {
        self.routes.get(activity_type).or_else(|| self.routes.get(ANY_ACTIVITY))
    }

    /// Where the routes lead.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.routes.values().map(|route| &*route.topic)
    }
}

/// The task lists in the order in which the settings name them first, each with its routes.
pub(crate) fn routed(settings: &Settings) -> Vec<Routed> {
    let mut lists: Vec<Routed> = Vec::new();
    for given in &settings.dispatch.routes {
        let list = TaskList { domain: given.domain.clone(), name: given.task_list.clone() };
        let place = lists.iter().position(|routed| routed.list == list).unwrap_or_else(|| {
            lists.push(Routed { list, routes: HashMap::new() });
            lists.len() - 1
        });
        lists[place].routes.insert(given.activity_type.clone(), route(settings, given));
    }
    lists
}

fn route(settings: &Settings, given: &RouteSettings) -> Route {
    let topics = &settings.topics;
    let topic = if given.topic.is_empty() { &topics.requests } else { &given.topic };
    let reply_to = match given.reply_to.as_str() {
        "" => topics.replies.first().cloned().unwrap_or_default(),
        given => given.to_owned(),
    };
    Route { topic: topic.as_str().into(), reply_to, encoding: given.encoding }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(routes: &[(&str, &str, &str, &str)]) -> Settings {
        let mut settings = Settings::default();
        settings.topics.replies = vec!["first".into(), "second".into()];
        let route = |(task_list, activity_type, topic, reply_to): &(&str, &str, &str, &str)| RouteSettings {
            domain: "orders".into(),
            task_list: (*task_list).into(),
            activity_type: (*activity_type).into(),
            topic: (*topic).into(),
            reply_to: (*reply_to).into(),
            encoding: Encoding::Java,
        };
        settings.dispatch.routes = routes.iter().map(route).collect();
        settings
    }

    #[test]
    fn a_type_goes_its_own_way_and_every_other_the_common_one() {
        let lists =
            routed(&settings(&[("a", "Charge", "charges", "second"), ("b", "Ship", "", ""), ("a", "*", "rest", "")]));
        assert_eq!(lists.iter().map(|routed| routed.list.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let topic = |list: usize, of: &str| lists[list].of(of).map(|route| (&*route.topic, route.reply_to.as_str()));
        assert_eq!(topic(0, "Charge"), Some(("charges", "second")));
        assert_eq!(topic(0, "charge"), Some(("rest", "first")), "types are compared exactly");
        assert_eq!(topic(1, "Ship"), Some(("activity-requests", "first")), "the defaults");
        assert_eq!(topic(1, "Charge"), None, "a route is for its own task list");
        assert_eq!(lists[0].of("Charge").unwrap().encoding, Encoding::Java);
    }
}
