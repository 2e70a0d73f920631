//! The topics of the contract as brokers may show them.

use std::collections::BTreeMap;

use super::judge;
use crate::cli::check::finding::Finding;
use crate::cli::paint::Level;
use crate::cli::topics::plan::{Replies, replies, specs};
use crate::config::{Route, Settings};
use crate::kafka::cluster::{Overview, Topic};
use crate::kafka::topics::TopicSettings;

/// A cluster of three brokers with every topic as `topics create` makes it.
struct World {
    settings: Settings,
    overview: Overview,
    told: BTreeMap<String, TopicSettings>,
}

impl World {
    fn as_created() -> Self {
        Self::created(Settings::default())
    }

    fn created(settings: Settings) -> Self {
        let (mut overview, mut told) = (Overview { brokers: vec![1, 2, 3], ..Overview::default() }, BTreeMap::new());
        for spec in specs(&settings, 12, 3, None) {
            let topic = Topic { partitions: 12, replication_factor: 3, ..Topic::default() };
            overview.topics.insert(spec.name.clone(), topic);
            let own = spec.settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            told.insert(spec.name, own);
        }
        Self { settings, overview, told }
    }

    fn topic(&mut self, name: &str) -> &mut Topic {
        self.overview.topics.get_mut(name).unwrap()
    }

    fn set(&mut self, topic: &str, name: &str, value: &str) {
        self.told.get_mut(topic).unwrap().insert(name.to_owned(), value.to_owned());
    }

    /// What is not fine, as `LEVEL topic: what -> fix`.
    fn complaints(&self) -> Vec<String> {
        let findings = judge(&self.settings, &self.overview, &self.told);
        findings.into_iter().filter(|finding| finding.level != Level::Ok).map(told).collect()
    }
}

fn told(finding: Finding) -> String {
    let Finding { level, subject, what, fix, .. } = finding;
    format!("{level:?} {subject}: {what} -> {}", fix.expect("what is wrong says how to fix it"))
}

/// Exactly one complaint, with these parts.
#[track_caller]
fn complains(change: impl FnOnce(&mut World), parts: &[&str]) {
    let mut world = World::as_created();
    change(&mut world);
    let complaints = world.complaints();
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    for part in parts {
        assert!(complaints[0].contains(part), "missing {part:?} in {complaints:#?}");
    }
}

#[test]
fn topics_as_created_are_as_they_should_be() {
    assert_eq!(World::as_created().complaints(), Vec::<String>::new());
}

#[test]
fn topics_that_activities_are_dispatched_to_are_made_and_needed() {
    let mut settings = Settings::default();
    let routes =
        |topics: &[&str]| topics.iter().map(|name| Route { topic: (*name).into(), ..Route::default() }).collect();
    settings.dispatch.routes = routes(&["charges", "", "charges", "activity-requests"]);
    let mut world = World::created(settings.clone());
    assert_eq!(world.complaints(), Vec::<String>::new());
    assert_eq!(world.overview.topics.len(), 8, "each once");
    let limits = world.told.get_mut("charges").unwrap();
    let created = limits.insert("max.message.bytes".into(), "1048588".into()).unwrap();
    let complaints = world.complaints();
    assert!(complaints.len() == 1 && complaints[0].contains("handback.TooLarge"), "{complaints:?}");
    world.told.get_mut("charges").unwrap().insert("max.message.bytes".into(), created);
    for name in ["charges", "activity-requests"] {
        assert!(world.overview.topics.remove(name).is_some());
    }
    let complaints = world.complaints().join("; ");
    for name in ["charges", "activity-requests"] {
        assert!(complaints.contains(&format!("Fault {name}: does not exist")), "{complaints}");
    }
    // Where no route leads there, others write it.
    settings.dispatch.routes = routes(&["charges"]);
    let mut world = World::created(settings);
    assert!(world.overview.topics.remove("activity-requests").is_some());
    let complaints = world.complaints().join("; ");
    assert!(complaints.contains("Warn activity-requests: does not exist"), "{complaints}");
}

#[test]
fn a_missing_topic_is_a_fault_where_the_bridge_needs_it() {
    for name in ["activity-replies", "activity-outcomes", "activity-replies-dlq"] {
        let gone = |world: &mut World| assert!(world.overview.topics.remove(name).is_some());
        complains(gone, &["Fault", name, "does not exist", "topics create"]);
    }
    for name in ["activity-requests", "activity-replies-retry-5m"] {
        let gone = |world: &mut World| assert!(world.overview.topics.remove(name).is_some());
        complains(gone, &["Warn", name, "does not exist"]);
    }
}

#[test]
fn topics_that_follow_the_replies_have_as_many_partitions() {
    for name in ["activity-outcomes", "activity-replies-dlq", "activity-replies-retry-1h"] {
        let fewer = |world: &mut World| world.topic(name).partitions = 11;
        complains(fewer, &["Fault", name, "11 partitions, but a reply topic has 12", "raise the partitions"]);
    }
    let mut world = World::as_created();
    world.topic("activity-requests").partitions = 1;
    world.topic("activity-outcomes").partitions = 13;
    assert_eq!(world.complaints(), Vec::<String>::new());
}

#[test]
fn topics_that_follow_the_replies_take_larger_records() {
    let largest = "5000000";
    let mut world = World::as_created();
    world.set("activity-replies", "max.message.bytes", largest);
    let complaints = world.complaints();
    assert_eq!(complaints.len(), 5, "{complaints:#?}");
    assert!(complaints.iter().all(|text| text.starts_with("Fault") && text.contains("to 5065536")), "{complaints:#?}");
    for name in ["activity-outcomes", "activity-replies-dlq"] {
        world.set(name, "max.message.bytes", "5065536");
    }
    assert_eq!(world.complaints().len(), 3, "only the retry topics are left");
}

#[test]
fn what_a_reply_topic_takes_compressed_others_must_not_keep_uncompressed() {
    for name in ["activity-replies-dlq", "activity-replies-retry-1h"] {
        let uncompressed = |world: &mut World| world.set(name, "compression.type", "uncompressed");
        complains(uncompressed, &["Warn", name, "may be too large", "set compression.type of", "to producer"]);
    }
    let mut world = World::as_created();
    for name in ["activity-replies", "activity-replies-dlq"] {
        world.set(name, "compression.type", "uncompressed");
    }
    assert_eq!(world.complaints(), Vec::<String>::new(), "what stands uncompressed on the reply topic fits");
}

#[test]
fn compaction_is_a_fault_everywhere() {
    for (name, policy) in [("activity-outcomes", "compact,delete"), ("activity-replies", "compact")] {
        complains(|world| world.set(name, "cleanup.policy", policy), &["Fault", name, policy, "to delete"]);
    }
}

#[test]
fn acknowledged_means_on_two_replicas() {
    let one = |world: &mut World| world.set("activity-outcomes", "min.insync.replicas", "1");
    complains(one, &["Warn", "can be lost with one broker", "to 2"]);
    let four = |world: &mut World| world.set("activity-outcomes", "min.insync.replicas", "4");
    complains(four, &["Fault", "only 3 replicas: no write succeeds", "to 2"]);
    complains(|world| world.topic("activity-outcomes").replication_factor = 2, &["Warn", "2 replicas"]);
    complains(
        |world| {
            world.topic("activity-outcomes").replication_factor = 1;
            world.set("activity-outcomes", "min.insync.replicas", "1");
        },
        &["Warn", "1 replica: a lost disk"],
    );
}

#[test]
fn a_cluster_of_one_broker_is_not_told_of_each_topic() {
    let mut world = World::as_created();
    world.overview.brokers = vec![1];
    for topic in world.overview.topics.values_mut() {
        topic.replication_factor = 1;
    }
    for settings in world.told.values_mut() {
        settings.insert("min.insync.replicas".into(), "1".into());
    }
    assert_eq!(world.complaints(), Vec::<String>::new());
}

#[test]
fn records_stay_as_long_as_the_contract_says() {
    let day = |days: u64| (days * 24 * 60 * 60 * 1000 - 1).to_string();
    for (name, days) in
        [("activity-replies", 7), ("activity-outcomes", 7), ("activity-replies-dlq", 14), ("activity-requests", 7)]
    {
        let short = |world: &mut World| world.set(name, "retention.ms", &day(days));
        complains(short, &["Warn", name, &format!("{days}days is advised"), "set retention.ms"]);
    }
    let mut world = World::as_created();
    world.set("activity-outcomes", "retention.ms", "-1");
    assert_eq!(world.complaints(), Vec::<String>::new());
}

#[test]
fn partitions_in_trouble_are_told() {
    complains(|world| world.topic("activity-replies").leaderless = 2, &["Fault", "2 of 12 partitions have no leader"]);
    complains(|world| world.topic("activity-replies").under_replicated = 1, &["Warn", "lack a replica in sync"]);
}

#[test]
fn new_topics_follow_the_reply_topics_that_exist() {
    let mut world = World::as_created();
    world.topic("activity-replies").partitions = 40;
    world.set("activity-replies", "max.message.bytes", "9000000");
    let existing = replies(&world.settings, &world.overview.topics, &world.told);
    assert_eq!(existing, Some(Replies { partitions: 40, max_message_bytes: Some(9_000_000), compressed: true }));
    for spec in specs(&world.settings, 6, 3, existing) {
        let follows = !["activity-requests", "activity-replies"].contains(&spec.name.as_str());
        assert_eq!(spec.partitions, if follows { 40 } else { 6 }, "{spec:?}");
        let bytes: u64 = spec.settings["max.message.bytes"].parse().unwrap();
        assert_eq!(bytes == 9_000_000 + 64 * 1024, follows, "{spec:?}");
    }
}

#[test]
fn the_largest_payload_fits_a_new_reply_topic_in_base64() {
    let settings = Settings::default();
    let spec = specs(&settings, 1, 1, None).into_iter().find(|spec| spec.name == "activity-replies").unwrap();
    let limit: usize = spec.settings["max.message.bytes"].parse().unwrap();
    assert!(limit > settings.bridge.max_payload_bytes.div_ceil(3) * 4 + 16 * 1024);
    assert_eq!(spec.settings["min.insync.replicas"], "1");
}
