use std::time::Duration;

use super::{admin, consumer, producer, property_faults, reader, retry_consumer};
use crate::config::{GroupProtocol, Kafka};

fn kafka(properties: &[(&str, &str)]) -> Kafka {
    let mut kafka = Kafka { brokers: "b:1".into(), group_id: "g".into(), ..Kafka::default() };
    properties.iter().for_each(|(name, value)| kafka.properties.set(*name, *value));
    kafka
}

#[test]
fn what_promises_rest_on_wins_and_what_is_a_matter_of_taste_loses() {
    let kafka = kafka(&[
        // Refused when loaded; here as a program could set it.
        ("enable.auto.offset.store", "true"),
        ("auto.offset.reset", "latest"),
        ("check.crcs", "true"),
        ("isolation.level", "read_uncommitted"),
        ("acks", "1"),
        ("enable.idempotence", "false"),
        ("linger.ms", "50"),
        ("allow.auto.create.topics", "true"),
        ("fetch.queue.backoff.ms", "7"),
        ("socket.keepalive.enable", "false"),
    ]);
    let (reading, writing) = (consumer(&kafka, 0, 1), producer(&kafka));
    assert_eq!(reading.get("enable.auto.offset.store"), Some("false"));
    assert_eq!(reading.get("auto.offset.reset"), Some("error"));
    assert_eq!(reading.get("check.crcs"), Some("false"));
    assert_eq!(reading.get("isolation.level"), Some("read_committed"));
    assert_eq!(reading.get("fetch.queue.backoff.ms"), Some("7"));
    assert_eq!(reading.get("socket.keepalive.enable"), Some("false"));
    assert_eq!(writing.get("acks"), Some("all"));
    for client in [&reading, &writing, &super::reader(&kafka, 0), &admin(&kafka)] {
        assert_eq!(client.get("allow.auto.create.topics"), Some("false"));
    }
    assert_eq!(writing.get("enable.idempotence"), Some("true"));
    assert_eq!(writing.get("linger.ms"), Some("50"));
}

#[test]
fn a_group_that_the_broker_assigns_is_told_nothing_it_refuses() {
    let mut kafka = kafka(&[]);
    assert_eq!(consumer(&kafka, 0, 1).get("partition.assignment.strategy"), Some("cooperative-sticky"));
    kafka.session_timeout = Duration::from_secs(6);
    assert_eq!(consumer(&kafka, 0, 1).get("heartbeat.interval.ms"), Some("2000"));
    kafka.group_protocol = GroupProtocol::Consumer;
    let config = consumer(&kafka, 0, 1);
    for name in ["partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"] {
        assert_eq!(config.get(name), None, "{name}");
    }
    config.create_native_config().unwrap();
}

#[test]
fn a_user_may_raise_message_max_bytes_beyond_what_one_fetch_brings() {
    let config = consumer(&kafka(&[("message.max.bytes", "20000000")]), 0, 1);
    assert_eq!(config.get("fetch.max.bytes"), Some("20000000"));
    let made: Result<rdkafka::consumer::BaseConsumer, _> = config.create();
    made.unwrap();
}

#[test]
fn members_of_one_process_have_ids_of_their_own() {
    let kafka = kafka(&[("group.instance.id", "pod-1")]);
    let id = |worker, workers| consumer(&kafka, worker, workers).get("client.id").unwrap().to_owned();
    assert_ne!(id(0, 2), id(1, 2));
    assert!(id(0, 1).starts_with("handback-") && id(0, 1).ends_with(&std::process::id().to_string()));
    assert_eq!(consumer(&kafka, 1, 2).get("group.instance.id"), Some("pod-1-1"));
    assert_eq!(consumer(&kafka, 0, 1).get("group.instance.id"), Some("pod-1"));
    let named = Kafka { client_id: "orders".into(), ..kafka.clone() };
    assert_eq!(consumer(&named, 0, 1).get("client.id"), Some("orders"));
    assert_eq!(producer(&named).get("client.id"), Some("orders"));
}

#[test]
fn each_kind_of_client_gets_only_what_it_knows() {
    let kafka = kafka(&[("fetch.min.bytes", "2"), ("compression.type", "zstd"), ("sasl.username", "u")]);
    let seen = |config: &rdkafka::ClientConfig| {
        ["fetch.min.bytes", "compression.type", "sasl.username"].map(|name| config.get(name).is_some())
    };
    assert_eq!(seen(&consumer(&kafka, 0, 1)), [true, false, true]);
    assert_eq!(seen(&producer(&kafka)), [false, true, true]);
    assert_eq!(seen(&admin(&kafka)), [false, false, true]);
    for config in [consumer(&kafka, 0, 1), producer(&kafka), admin(&kafka)] {
        config.create_native_config().unwrap();
    }
}

#[test]
fn a_property_that_is_not_taken_is_named_and_a_secret_is_not_repeated() {
    let kafka = kafka(&[
        ("compression.type", "zip"),
        ("sasl.passwrod", "hush"),
        ("sasl.password.x", "hush"),
        ("linger.ms", "5"),
    ]);
    let faults = property_faults(&kafka);
    let names: Vec<_> = faults.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["kafka.properties.compression.type", "kafka.properties.sasl.password.x", "kafka.properties.sasl.passwrod"]
    );
    assert!(faults[0].1.contains("zip"), "{faults:?}");
    assert!(!format!("{faults:?}").contains("hush"), "{faults:?}");
}

#[test]
fn a_property_given_by_its_other_name_wins_as_well() {
    let properties = [("compression.codec", "none"), ("queue.buffering.max.ms", "50"), ("message.timeout.ms", "7000")];
    let config = producer(&kafka(&properties));
    let given = ["compression.type", "linger.ms", "delivery.timeout.ms"].map(|name| config.get(name));
    assert_eq!(given, [Some("none"), Some("50"), Some("7000")]);
    for (name, _) in properties {
        assert_eq!(config.get(name), None, "which of the two would win is a matter of chance");
    }
}

#[test]
fn what_was_compressed_for_a_retry_topic_can_be_read_again() {
    let limit = |properties: &[(&str, &str)]| -> u64 {
        retry_consumer(&kafka(properties)).get("receive.message.max.bytes").unwrap().parse().unwrap()
    };
    assert_eq!(limit(&[]), 3 * 128 * 1024 * 1024);
    assert_eq!(limit(&[("receive.message.max.bytes", "200000000")]), 200_000_000);
    let made: Result<rdkafka::consumer::BaseConsumer, _> = retry_consumer(&kafka(&[])).create();
    made.unwrap();
}

#[test]
fn no_record_is_larger_than_the_producers_queue() {
    let limit = |properties: &[(&str, &str)]| -> u64 {
        producer(&kafka(properties)).get("message.max.bytes").unwrap().parse().unwrap()
    };
    assert_eq!(limit(&[]), 128 * 1024 * 1024);
    assert_eq!(limit(&[("queue.buffering.max.kbytes", "2048")]), 2 * 1024 * 1024);
    assert_eq!(limit(&[("message.max.bytes", "5000000")]), 5_000_000);
    // librdkafka's own is a GiB.
    assert_eq!(producer(&kafka(&[])).get("queue.buffering.max.kbytes"), Some("131072"));
    for properties in [&[][..], &[("queue.buffering.max.kbytes", "2048")]] {
        let made: Result<rdkafka::producer::BaseProducer, _> = producer(&kafka(properties)).create();
        made.unwrap();
    }
}

#[test]
fn every_client_sees_added_partitions_within_a_minute() {
    let kafka = kafka(&[]);
    for config in [consumer(&kafka, 0, 1), retry_consumer(&kafka), reader(&kafka, 0), producer(&kafka), admin(&kafka)] {
        let millis: u64 = config.get("topic.metadata.refresh.interval.ms").unwrap().parse().unwrap();
        assert!(millis <= 30_000, "half a minute, and as long for the rebalance: {millis}");
    }
}
