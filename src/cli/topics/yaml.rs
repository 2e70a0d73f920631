//! Topics as Strimzi resources.

use std::fmt::Write;

use crate::kafka::topics::TopicSpec;

/// One `KafkaTopic` a topic, in the API version that Strimzi serves since 0.49. `cluster` is the name of the `Kafka`
/// resource.
pub(super) fn strimzi(specs: &[TopicSpec], cluster: &str) -> String {
    let mut yaml = String::new();
    for spec in specs {
        let _ = write!(
            yaml,
            "---\napiVersion: kafka.strimzi.io/v1\nkind: KafkaTopic\nmetadata:\n  name: {}\n  labels:\n    \
             strimzi.io/cluster: {cluster}\nspec:\n  topicName: {}\n  partitions: {}\n  replicas: {}\n  config:\n",
            resource_name(&spec.name),
            quoted(&spec.name),
            spec.partitions,
            spec.replication_factor,
        );
        for (name, value) in &spec.settings {
            let _ = writeln!(yaml, "    {name}: {}", if is_number(value) { value.clone() } else { quoted(value) });
        }
    }
    yaml
}

/// Kubernetes takes lower-case letters, digits, hyphens and dots only; `topicName` keeps the real name.
fn resource_name(topic: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    quoted(topic.chars().map(legal).collect::<String>().trim_matches(['-', '.']))
}

fn is_number(value: &str) -> bool {
    value.parse::<i64>().is_ok()
}

/// Topic names and the values above hold no quotes or backslashes; without quotes a topic `1.0` would be a number.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
