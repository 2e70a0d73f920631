//! `[kafka.properties]`: what may not be passed on to librdkafka, and why.

use super::Checks;
use crate::config::{GroupProtocol, Kafka};

/// What handback itself decides, and where it is decided; a property of this name would be overridden or would break
/// a promise.
const OWNED: [(&str, &str); 19] = [
    ("bootstrap.servers", "set kafka.brokers"),
    ("metadata.broker.list", "set kafka.brokers"),
    ("client.id", "set kafka.client_id"),
    ("group.id", "set kafka.group_id"),
    ("group.protocol", "set kafka.group_protocol"),
    ("session.timeout.ms", "set kafka.session_timeout"),
    ("auto.commit.interval.ms", "set kafka.auto_commit_interval"),
    ("delivery.report.only.error", "outcomes are awaited, and so every delivery is told"),
    ("enable.auto.commit", "offsets are committed once outcomes are durable"),
    ("auto.commit.enable", "offsets are committed once outcomes are durable"),
    ("enable.auto.offset.store", "offsets are stored once outcomes are durable"),
    ("auto.offset.reset", "no offset may ever be skipped silently; see topics.on_retention_gap"),
    ("partition.assignment.strategy", "only cooperative-sticky lets other partitions go on in a rebalance"),
    ("enable.partition.eof", "handback needs to know where a partition ends"),
    ("allow.auto.create.topics", "a misspelt topic would be made as the brokers please; see `handback topics create`"),
    ("acks", "outcomes are acknowledged by all in-sync replicas"),
    ("request.required.acks", "outcomes are acknowledged by all in-sync replicas"),
    ("enable.idempotence", "outcomes are written idempotently"),
    ("transactional.id", "handback writes without transactions"),
];

/// A property that may not have any value: its name, whether a value of it does no harm, and what the others do.
type Unsafe = (&'static str, fn(&str) -> bool, &'static str);

/// What makes librdkafka pass over records, lose them or read what nobody said.
const UNSAFE: [Unsafe; 10] = [
    (
        "check.crcs",
        |value| value == "false",
        "librdkafka passes over a batch whose checksum is wrong and reads on: its replies would never be answered",
    ),
    (
        "isolation.level",
        |value| value == "read_committed",
        "an answer whose transaction was aborted was never given, and would be applied",
    ),
    ("topic.blacklist", |_| false, "a reply topic whose name matches would never be read, without a word"),
    // No metadata: partitions that are added later would never be read.
    (
        "topic.metadata.refresh.interval.ms",
        |value| !value.starts_with('-'),
        "partitions that are added must be noticed",
    ),
    ("offset.store.method", |value| value == "broker", "offsets are committed to the brokers"),
    (
        "api.version.request",
        |value| value == "true",
        "librdkafka would take the brokers for such as know no headers, and drop those of every record",
    ),
    (
        "api.version.fallback.ms",
        |value| value == "0",
        "librdkafka would take a broker for one that knows no headers, and drop those of every record",
    ),
    (
        "enable.gapless.guarantee",
        |value| value == "false",
        "one record that a topic refuses would end the process, and the next one that finds it again",
    ),
    (
        "test.mock.num.brokers",
        |value| value == "0",
        "librdkafka would write to brokers that it makes up, and all would be lost",
    ),
    (
        "plugin.library.paths",
        |_| false,
        "code that handback does not know could change or drop every record; handback needs no plugin",
    ),
];

pub(super) fn check(checks: &mut Checks<'_>, kafka: &Kafka) {
    for (name, value) in kafka.properties.iter() {
        let setting = format!("kafka.properties.{name}");
        if let Some((_, why)) = OWNED.iter().find(|(owned, _)| *owned == name) {
            checks.must(&[&setting], false, || format!("is decided by handback: {why}"));
        }
        if let Some((_, is_safe, why)) = UNSAFE.iter().find(|(known, ..)| *known == name) {
            checks.must(&[&setting], is_safe(value), || format!("is refused: {why}; take it out"));
        }
        if name == "heartbeat.interval.ms" && kafka.group_protocol == GroupProtocol::Consumer {
            checks.must(&[&setting], false, || {
                "is decided by the broker when kafka.group_protocol is \"consumer\"".into()
            });
        }
    }
}
