//! `[kafka.properties]`: what is refused, and why.

use super::*;

#[test]
fn properties_that_promises_depend_on_are_refused_by_name() {
    for name in [
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "acks",
        "enable.idempotence",
        "group.id",
        "bootstrap.servers",
        "client.id",
        "session.timeout.ms",
        "partition.assignment.strategy",
        "transactional.id",
    ] {
        let file = format!("{GROUP}[kafka.properties]\n{name} = \"x\"\n");
        refused(&file, &format!("kafka.properties.{name}"), "is decided by handback");
    }
    let found = faults(GROUP, &[("HANDBACK__KAFKA__PROPERTIES__ACKS", "1")]);
    assert_eq!(found[0].origin, Origin::Env("HANDBACK__KAFKA__PROPERTIES__ACKS".into()));
    let heartbeat = "[kafka.properties]\nheartbeat.interval.ms = 500\n";
    load(&format!("{GROUP}{heartbeat}"), &[]).unwrap();
    refused(
        &format!("{GROUP}group_protocol = \"consumer\"\n{heartbeat}"),
        "kafka.properties.heartbeat.interval.ms",
        "by the broker",
    );
}

#[test]
fn properties_by_which_librdkafka_skips_or_loses_records_in_silence_are_refused_with_the_reason() {
    for (name, value, part) in [
        ("check.crcs", "true", "passes over a batch"),
        ("isolation.level", "read_uncommitted", "aborted"),
        ("topic.blacklist", "^activity", "never be read"),
        ("topic.metadata.refresh.interval.ms", "-1", "partitions that are added"),
        ("offset.store.method", "none", "to the brokers"),
        ("api.version.request", "false", "headers"),
        ("api.version.fallback.ms", "1000", "headers"),
        ("enable.gapless.guarantee", "true", "end the process"),
        ("test.mock.num.brokers", "3", "all would be lost"),
        ("plugin.library.paths", "interceptor", "change or drop"),
    ] {
        let file = format!("{GROUP}[kafka.properties]\n\"{name}\" = \"{value}\"\n");
        refused(&file, &format!("kafka.properties.{name}"), part);
    }
    // As librdkafka has it anyway.
    let harmless = "check.crcs = false\nisolation.level = \"read_committed\"\napi.version.request = true\n";
    load(&format!("{GROUP}[kafka.properties]\n{harmless}"), &[]).unwrap();
}
