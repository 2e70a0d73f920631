//! `[dispatch]` and its routes.

use super::{GROUP, faults, load, messages, refused};
use crate::config::{Origin, Route, Settings};
use crate::wire::Encoding;

/// The file with these lines below `[[dispatch.routes]]`, each route given by its fields.
fn routes(routes: &[&str]) -> String {
    let routes: String = routes.iter().map(|route| format!("[[dispatch.routes]]\n{route}\n")).collect();
    format!("{GROUP}{routes}")
}

const WHOLE: &str = "domain = \"d\"\ntask_list = \"l\"\nactivity_type = \"A\"";

#[test]
fn routes_are_tables_with_defaults() {
    let file = routes(&[WHOLE, &format!("{}\ntopic = \"t\"\nencoding = \"java\"", WHOLE.replace('A', "*"))]);
    let routes = load(&file, &[]).unwrap().dispatch.routes;
    let whole = Route { domain: "d".into(), task_list: "l".into(), activity_type: "A".into(), ..Route::default() };
    assert_eq!(routes[0], whole);
    assert_eq!(routes[1], Route { activity_type: "*".into(), topic: "t".into(), encoding: Encoding::Java, ..whole });
}

#[test]
fn the_environment_gives_routes_as_toml_does() {
    let env = [
        ("HANDBACK__DISPATCH__ROUTES", r#"[{domain = "d", task_list = "l", activity_type = "B"}]"#),
        ("HANDBACK__DISPATCH__ENABLED", "true"),
        ("HANDBACK__DISPATCH__GIVE_UP_BEFORE", "5s"),
    ];
    let dispatch = load(&routes(&[WHOLE]), &env).unwrap().dispatch;
    assert_eq!(dispatch.routes.iter().map(|route| route.activity_type.as_str()).collect::<Vec<_>>(), ["B"]);
    assert!(dispatch.enabled && dispatch.give_up_before.as_secs() == 5);
    let found = faults(GROUP, &[("HANDBACK__DISPATCH__ROUTES", "d/l/A")]);
    assert_eq!(found[0].setting, "dispatch.routes");
}

#[test]
fn every_fault_of_every_route_is_told_at_once() {
    let file = routes(&[
        "domain = \"d\"\ntasklist = \"l\"\nactivity_type = 7",
        &format!("{WHOLE}\nencoding = \"cobol\"\nreply_to = \"nobody\""),
        &format!("{}\ntopic = \"activity-outcomes\"", WHOLE.replace('A', "B")),
        &format!("{}\ntopic = \"a b\"", WHOLE.replace('A', "C")),
        &WHOLE.replace('A', "B"),
    ]);
    let found = messages(&file, &[]).join("\n");
    for part in [
        "dispatch.routes[0].tasklist: unknown setting; did you mean task_list?",
        "dispatch.routes[0].task_list: is required",
        "dispatch.routes[0].activity_type: invalid type: integer `7`",
        "dispatch.routes[1].encoding: unknown variant `cobol`, expected one of `auto`, `go`, `java`, `python`",
        "dispatch.routes[1].reply_to: \"nobody\" is not one of topics.replies",
        "dispatch.routes[2].topic: \"activity-outcomes\" is a topic of the bridge already",
        "dispatch.routes[3].topic: \"a b\" is no topic name",
        "dispatch.routes[4].activity_type: has a route already",
    ] {
        assert!(found.contains(part), "missing {part:?} in:\n{found}");
    }
    assert_eq!(found.lines().count(), 8, "{found}");
}

#[test]
fn a_fault_of_a_route_says_where_it_was_written() {
    let found = faults(&routes(&[WHOLE, "domain = \"d\"\ntask_list = \"l\"\nactivity_type = \"\""]), &[]);
    // Two lines of the group, four of the first route, then the fourth of the second.
    assert!(matches!(&found[0].origin, Origin::File { line: 10, .. }), "{found:?}");
}

#[test]
fn who_dispatches_needs_a_route_and_no_group() {
    let none = || std::iter::empty();
    let text = Settings::load_for_dispatch(None, none()).unwrap_err().to_string();
    assert!(text.starts_with("dispatch.routes: is required") && !text.contains("group_id"), "{text}");
    refused(&format!("{GROUP}[dispatch]\nenabled = true\n"), "dispatch.routes", "is required");
    load(GROUP, &[]).unwrap();
    let env = [("HANDBACK__DISPATCH__ROUTES".to_owned(), format!("[{{{}}}]", WHOLE.replace('\n', ", ")))];
    Settings::load_for_dispatch(None, env.into_iter()).unwrap();
}

#[test]
fn each_poll_of_each_task_list_has_a_place() {
    let two_lists = [WHOLE, &WHOLE.replace("\"l\"", "\"other\""), &WHOLE.replace('A', "B")];
    let file = |limits: &str| format!("{}[dispatch]\n{limits}\n", routes(&two_lists));
    load(&file("pollers = 5\nmax_in_hand = 10"), &[]).unwrap();
    refused(&file("pollers = 5\nmax_in_hand = 9"), "dispatch.max_in_hand", "each of the 2 task lists");
    for (limits, field, part) in [
        ("pollers = 0", "pollers", "at least 1"),
        ("max_in_hand_bytes = 0", "max_in_hand_bytes", "at least 1"),
        ("max_request_bytes = 0", "max_request_bytes", "at least 1"),
        ("give_up_before = \"0s\"", "give_up_before", "longer than nothing"),
    ] {
        refused(&file(limits), &format!("dispatch.{field}"), part);
    }
}

#[test]
fn a_route_to_a_domain_that_the_bridge_refuses_is_refused() {
    let file = format!("{}[cadence]\ndomains = [\"other\"]\n", routes(&[WHOLE]));
    refused(&file, "dispatch.routes[0].domain", "is not one of cadence.domains");
}

#[test]
fn what_is_printed_of_routes_loads_to_the_same() {
    let settings = load(&routes(&[WHOLE, &WHOLE.replace('A', "*")]), &[]).unwrap();
    assert_eq!(load(&settings.to_toml(), &[]).unwrap(), settings);
}
