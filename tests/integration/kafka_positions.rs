//! Whether an offset still means what it meant: the topic may be another by now, or have lost its end.

use std::sync::Arc;

use handback::bridge::seams::{Command, Control};
use handback::kafka::{self, ConsumerHandle};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::kafka_support::*;

const CONDITION: &str = "kafka/a/position/activity-replies/0";

/// An id that no topic here has.
const BEFORE: &str = "Ki3xXsVZQkSW0S-CpcIdrQ";

/// Commits as a former member would have, with a note beside the offset.
fn commit_noted(cluster: &Cluster, partition: i32, offset: i64, note: &str) {
    let client: BaseConsumer = member_config(cluster, "former").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, partition, Offset::Offset(offset)).unwrap();
    list.elements()[0].set_metadata(note);
    client.commit(&list, CommitMode::Sync).unwrap();
}

/// What stands beside the committed offset.
fn note(cluster: &Cluster, partition: i32) -> String {
    let client: BaseConsumer = member_config(cluster, "looker").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(TOPIC, partition);
    client.committed_offsets(list, PATIENCE).unwrap().elements()[0].metadata().to_owned()
}

fn start(config: ClientConfig, told: &Arc<Told>, accepted: Option<&str>) -> ConsumerHandle {
    let mut spec = spec(config, Arc::clone(told) as _);
    spec.accept_recreated = accepted.map(|id| (TOPIC.to_owned(), id.to_owned())).into_iter().collect();
    kafka::spawn(spec).unwrap()
}

/// The id that a reason asks to accept.
fn named_id(reason: &str) -> String {
    let (_, rest) = reason.split_once("topics.accept_recreated = [\"activity-replies=").expect(reason);
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_topic_that_was_made_again_is_not_read_at_the_old_offset_until_somebody_accepts_its_id() {
    let cluster = cluster(2);
    write(&cluster, [0; 9].into_iter().chain([1; 2]), 10);
    // A member read the old topic up to 5 and went on to commit when the new one was there already.
    commit_noted(&cluster, 0, 5, &format!("topic-id={BEFORE}"));
    let mut id = String::new();
    for _restart in 0..2 {
        let told = Arc::new(Told::default());
        let mut a = start(member_config(&cluster, "a"), &told, None);
        assigned(&mut a).await;
        let reason = told.reason(CONDITION).expect("it is told");
        assert!(reason.contains("activity-replies/0 is stopped") && reason.contains(BEFORE), "{reason}");
        id = named_id(&reason);
        // The other one has nothing committed, and its topic is the same.
        let other = told.reason("kafka/a/position/activity-replies/1").expect("all of the topic");
        assert_eq!(named_id(&other), id);
        until("that it is not read is committed", || note(&cluster, 1).contains(BEFORE)).await;
        assert!(a.records.try_recv().is_err(), "nothing is read");
        close(a).await;
    }
    let told = Arc::new(Told::default());
    let mut a = start(member_config(&cluster, "a"), &told, Some(&id));
    assigned(&mut a).await;
    assert_eq!(told.reason(CONDITION), None);
    let mut records = read(&mut a, 11).await;
    records.retain(|received| received.partition == partition(0));
    let offsets: Vec<_> = records.iter().map(|received| received.record.origin.offset).collect();
    assert_eq!(offsets, (0..9).collect::<Vec<_>>(), "from the beginning");
    a.commands.send(Command::Store(vec![(partition(0), 4)])).unwrap();
    until("it is committed", || told.committed_of(0) == Some(4)).await;
    assert!(note(&cluster, 0).contains(&id), "{}", note(&cluster, 0));
    close(a).await;

    // Who joins later needs the setting no more.
    let told = Arc::new(Told::default());
    let mut a = start(member_config(&cluster, "a"), &told, None);
    assigned(&mut a).await;
    let first = read(&mut a, 7).await.into_iter().find(|received| received.partition == partition(0)).unwrap();
    assert_eq!((first.record.origin.offset, told.reason(CONDITION)), (4, None));
    close(a).await;
}

/// What `handback check` finds wrong with the group: what and remedy.
fn checked(cluster: &Cluster, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let brokers = cluster.bootstrap_servers();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_handback"));
    command.args(["check", "--json"]).env_clear().envs(more.iter().copied());
    command.env("HANDBACK__KAFKA__BROKERS", brokers).env("HANDBACK__KAFKA__GROUP_ID", GROUP);
    command.env("HANDBACK__CADENCE__ENDPOINT", "http://127.0.0.1:1").env("HANDBACK__TOPICS__RETRY", "[]");
    let report: serde_json::Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let faults = findings.filter(|found| found["subject"] == "group" && found["level"] == "fault");
    let text = |found: &serde_json::Value, field: &str| found[field].as_str().unwrap().to_owned();
    faults.map(|found| (text(found, "what"), text(found, "fix"))).collect()
}

#[test]
fn check_names_every_partition_that_no_member_would_read_and_what_to_do() {
    let cluster = cluster(4);
    write(&cluster, [1; 5].into_iter().chain([2; 4]), 10);
    // More than the mock keeps (5 MiB), so that it drops the oldest records.
    write(&cluster, vec![0; 8], 900_000);
    commit(&cluster, 0, 1);
    commit(&cluster, 1, 500);
    commit(&cluster, 2, 4);
    let found = checked(&cluster, &[]);
    let [(gap, accept), (beyond, reset)] = &found[..] else { panic!("partitions 0 and 1, not 2 and 3: {found:#?}") };
    assert!(gap.contains("activity-replies/0 is stopped: retention has removed"), "{gap}");
    assert!(accept.contains("topics.on_retention_gap"), "{accept}");
    assert!(beyond.contains("activity-replies/1") && beyond.contains("offset 500 lies beyond the end 5"), "{beyond}");
    assert!(reset.contains("reset the group's offsets"), "{reset}");
    let found = checked(&cluster, &[("HANDBACK__TOPICS__ON_RETENTION_GAP", "continue")]);
    assert!(matches!(&found[..], [(beyond, _)] if beyond.contains("activity-replies/1")), "{found:#?}");

    for partition in [1, 2] {
        commit_noted(&cluster, partition, 2, &format!("topic-id={BEFORE}"));
    }
    let found = checked(&cluster, &[]);
    let [_, (again, accept)] = &found[..] else { panic!("the gap, and once for the topic: {found:#?}") };
    assert!(again.contains("made again") && again.contains(BEFORE), "{again}");
    let accepted = format!("[\"{TOPIC}={}\"]", named_id(accept));
    let found = checked(&cluster, &[("HANDBACK__TOPICS__ACCEPT_RECREATED", &accepted)]);
    assert!(matches!(&found[..], [(gap, _)] if gap.contains("activity-replies/0")), "{found:#?}");
}

#[tokio::test]
async fn a_topic_that_is_made_again_while_it_is_read_is_stopped_within_seconds() {
    let (old, new) = (cluster(1), cluster(1));
    write(&old, [0; 3], 10);
    write(&new, [0; 8], 10);
    new.broker_down(1).unwrap();
    let mut config = member_config(&old, "a");
    // The same brokers, as far as the client knows, with a topic of the same name.
    config.set("bootstrap.servers", format!("{},{}", old.bootstrap_servers(), new.bootstrap_servers()));
    config.set("topic.metadata.refresh.interval.ms", "1000").set("reconnect.backoff.max.ms", "500");
    // The group stays behind with the old ones. What is lost to it before the new id is seen cannot be stopped.
    config.set("session.timeout.ms", "60000");
    let told = Arc::new(Told::default());
    let mut a = start(config, &told, None);
    assigned(&mut a).await;
    read(&mut a, 3).await;
    a.commands.send(Command::Store(vec![(partition(0), 3)])).unwrap();
    until("the offset is committed", || told.committed_of(0) == Some(3)).await;
    drop(old);
    new.broker_up(1).unwrap();
    // Until it is noticed the new topic is read at the old offset, and that is settled and committed like any other.
    until("it is told", || {
        while let Ok(message) = a.control.try_recv() {
            if let Control::Revoked(_, answer) = message {
                let _ = answer.send(Vec::new());
            }
        }
        while let Ok(batch) = a.records.try_recv() {
            let next = batch.last().unwrap().record.origin.offset + 1;
            a.commands.send(Command::Store(vec![(partition(0), next)])).unwrap();
        }
        told.reason(CONDITION).is_some_and(|reason| reason.contains("made again"))
    })
    .await;
    // The mock's coordinator does not move along, so that nothing more can be committed here.
}

#[tokio::test]
async fn offsets_of_0_1_0_and_of_a_reset_group_are_read_on_from() {
    let cluster = cluster(1);
    write(&cluster, [0; 5], 10);
    commit(&cluster, 0, 3);
    let told = Arc::new(Told::default());
    let mut a = start(member_config(&cluster, "a"), &told, None);
    assigned(&mut a).await;
    assert_eq!(read(&mut a, 2).await[0].record.origin.offset, 3);
    a.commands.send(Command::Store(vec![(partition(0), 4)])).unwrap();
    until("the offset is committed", || told.committed_of(0) == Some(4)).await;
    assert_eq!(told.reason(CONDITION), None);
    assert!(note(&cluster, 0).starts_with("topic-id="), "with the id from now on");
    close(a).await;
}

#[tokio::test]
async fn a_groups_first_offset_is_committed_before_anything_is_settled() {
    let cluster = cluster(1);
    write(&cluster, [0], 10);
    let told = Arc::new(Told::default());
    let mut a = start(member_config(&cluster, "a"), &told, None);
    assigned(&mut a).await;
    read(&mut a, 1).await;
    until("the beginning is committed", || told.committed_of(0) == Some(0)).await;
    close(a).await;
    // Nobody was there while retention took what was never read.
    write(&cluster, [0; 8], 900_000);
    let told = Arc::new(Told::default());
    let mut a = start(member_config(&cluster, "a"), &told, None);
    assigned(&mut a).await;
    let reason = told.reason(CONDITION).expect("a gap");
    assert!(reason.contains("(0.."), "{reason}");
    close(a).await;
}

#[tokio::test]
async fn a_log_that_lost_records_which_were_read_is_not_read_at_the_old_offset() {
    let cluster = cluster(2);
    write(&cluster, [0; 3], 10);
    // 5 was read under this leader; the next one has but 3 of them, and others since.
    commit_noted(&cluster, 0, 5, "leader-epoch=0");
    cluster.partition_leader(TOPIC, 0, Some(1)).unwrap();
    write(&cluster, [0; 7].into_iter().chain([1; 2]), 10);
    for _restart in 0..2 {
        let told = Arc::new(Told::default());
        let mut a = start(member_config(&cluster, "a"), &told, None);
        until("it is told", || told.reason(CONDITION).is_some()).await;
        let reason = told.reason(CONDITION).unwrap();
        assert!(reason.contains("activity-replies/0 is stopped") && reason.contains("before 5"), "{reason}");
        // All others are read.
        assert!(read(&mut a, 2).await.iter().all(|received| received.partition == partition(1)));
        assert!(a.records.try_recv().is_err());
        close(a).await;
        assert_eq!(committed(&cluster, 0), Some(5), "and left alone");
    }
}

#[tokio::test]
async fn a_change_of_leaders_that_lost_nothing_stops_nothing() {
    let cluster = cluster(1);
    write(&cluster, [0; 3], 10);
    let told = Arc::new(Told::default());
    let mut a = start(member_config(&cluster, "a"), &told, None);
    assigned(&mut a).await;
    read(&mut a, 3).await;
    a.commands.send(Command::Store(vec![(partition(0), 3)])).unwrap();
    until("it is committed", || told.committed_of(0) == Some(3)).await;
    assert!(note(&cluster, 0).contains("leader-epoch=0"), "{}", note(&cluster, 0));
    cluster.partition_leader(TOPIC, 0, Some(1)).unwrap();
    write(&cluster, [0; 2], 10);
    read(&mut a, 2).await;
    a.commands.send(Command::Store(vec![(partition(0), 4)])).unwrap();
    until("it is committed", || told.committed_of(0) == Some(4)).await;
    assert!(note(&cluster, 0).contains("leader-epoch=1"), "{}", note(&cluster, 0));
    close(a).await;
    let mut a = start(member_config(&cluster, "a"), &told, None);
    assigned(&mut a).await;
    assert_eq!(read(&mut a, 1).await[0].record.origin.offset, 4);
    assert_eq!(told.reason(CONDITION), None);
    close(a).await;
}
