//! Probes of the cluster, the group and the topics.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Level;
use super::finding::{Area, Finding};
use super::{group, topics};
use crate::cli::blocking;
use crate::cli::paint::plural;
use crate::cli::topics::plan::{self, Replies};
use crate::config::{Kafka, Settings, Topics};
use crate::kafka::client;
use crate::kafka::cluster::{Cluster, Overview, Unreachable};
use crate::kafka::topics::{Admin, AdminError, TopicSettings};

const BROKERS: &str = "brokers";
const GROUP: &str = "group";

/// How long a description of a group is waited for: it only adds to what is found.
const DESCRIBE: Duration = Duration::from_secs(3);

/// Everything that can be learnt from the brokers. Never fails: what cannot be learnt is a finding.
pub(super) async fn probe(settings: &Settings) -> Vec<Finding> {
    let (overview, groups) = match look(settings).await {
        Ok(seen) => seen,
        Err(error) => return vec![Finding::fault(Area::Kafka, BROKERS, error.what, error.advice)],
    };
    let mut findings = vec![brokers(&overview)];
    findings.extend(groups);
    findings.extend(group_limits(settings, &overview).await);
    let (topic_settings, unknown) = topic_settings(settings, &overview).await;
    let replies = plan::replies(settings, &overview.topics, &topic_settings);
    findings.extend(replies.into_iter().flat_map(|replies| producer(&settings.kafka, replies)));
    findings.extend(topics::judge(settings, &overview, &topic_settings));
    findings.extend(unknown);
    findings
}

/// Looks at the cluster, then at both groups by way of the first topic of each that exists.
async fn look(settings: &Settings) -> Result<(Overview, Vec<Finding>), Unreachable> {
    let (kafka, topics) = (settings.kafka.clone(), settings.topics.clone());
    let looked = blocking(move || {
        let cluster = Cluster::new(&kafka)?;
        let overview = cluster.overview(kafka.metadata_timeout)?;
        if kafka.group_id.is_empty() {
            let what = "kafka.group_id is not set: `handback dispatch` needs none, `handback run` would";
            return Ok((overview, vec![Finding::ok(Area::Kafka, GROUP, what)]));
        }
        let mut groups = look_at_group(&kafka, &cluster, &overview, &topics, &topics.replies);
        if !topics.retry.is_empty() {
            let mut kafka = kafka;
            kafka.group_id = kafka.retry_group_id();
            groups.extend(look_at_group(&kafka, &Cluster::new(&kafka)?, &overview, &topics, &topics.retry));
        }
        Ok((overview, groups))
    });
    looked.await.unwrap_or_else(|error| Err(Unreachable { what: error.to_string(), advice: "report this" }))
}

/// What is found of the group of `kafka`, which reads these topics.
fn look_at_group(
    kafka: &Kafka,
    cluster: &Cluster,
    overview: &Overview,
    topics: &Topics,
    reads: &[String],
) -> Vec<Finding> {
    let name = &kafka.group_id;
    let described = cluster.group(name, kafka.metadata_timeout.min(DESCRIBE));
    let refusals = described.map(|group| group::judge(kafka, name, &group)).unwrap_or_default();
    if refusals.iter().any(|finding| finding.level == Level::Fault) {
        return refusals;
    }
    let Some((topic, seen)) = reads.iter().find_map(|name| Some((name, overview.topics.get(name)?))) else {
        let what = format!("{name} was not tried: none of its topics exists");
        return vec![Finding::warn(Area::Kafka, GROUP, what, "create the topics first")];
    };
    let access = cluster.group_access(topic, seen.partitions, kafka.metadata_timeout);
    let halts = access.as_ref().map(|_| halts(kafka, cluster, overview, topics, reads)).unwrap_or_default();
    let access = access.map(|committed| committed.partitions);
    std::iter::once(access_to(name, topic, seen.partitions, access)).chain(refusals).chain(halts).collect()
}

/// The partitions that members do not read where the group stands, in the words of `/readyz`.
fn halts(kafka: &Kafka, cluster: &Cluster, overview: &Overview, topics: &Topics, reads: &[String]) -> Vec<Finding> {
    let on_gap = topics.on_retention_gap.into();
    match cluster.halts(overview, reads, topics.accepted(), on_gap, kafka.metadata_timeout) {
        Ok(halts) => halts.into_iter().map(|halt| Finding::fault(Area::Kafka, GROUP, halt.what, halt.fix)).collect(),
        Err(error) => {
            let what = format!("whether {} can go on where it stands is not known: {}", kafka.group_id, error.what);
            vec![Finding::warn(Area::Kafka, GROUP, what, error.advice)]
        }
    }
}

/// What of the brokers' limits would keep members out.
async fn group_limits(settings: &Settings, overview: &Overview) -> Vec<Finding> {
    let (Some(broker), false) = (overview.brokers.first(), settings.kafka.group_id.is_empty()) else {
        return Vec::new();
    };
    let Ok(admin) = Admin::new(&settings.kafka, Some(*broker)) else { return Vec::new() };
    // Who may not look into brokers learns of limits when the group refuses, on /readyz.
    let Some(told) = admin.broker_settings(*broker).await else { return Vec::new() };
    group::limits(&settings.kafka, &told, settings.bridge.workers)
}

fn access_to(group: &str, topic: &str, partitions: usize, committed: Result<usize, Unreachable>) -> Finding {
    match committed {
        Ok(0) => Finding::ok(Area::Kafka, GROUP, format!("{group} may be used; it begins at the oldest record")),
        Ok(committed) => {
            let what =
                format!("{group} may be used; {committed} of {partitions} partitions of {topic} were read before");
            Finding::ok(Area::Kafka, GROUP, what)
        }
        Err(error) => Finding::fault(Area::Kafka, GROUP, format!("{group}: {}", error.what), error.advice),
    }
}

fn brokers(overview: &Overview) -> Finding {
    let cluster = overview.cluster_id.as_deref().map(|id| format!(", cluster {id}")).unwrap_or_default();
    let what = format!("{}{cluster}", plural(overview.brokers.len(), "broker"));
    if overview.brokers.len() < 3 {
        let fix = "fine for development; use three or more where replies must not be lost";
        return Finding::warn(Area::Kafka, BROKERS, what, fix);
    }
    Finding::ok(Area::Kafka, BROKERS, what)
}

/// Whether our own producer would refuse what it must be able to move, or send it as the topics do not take it.
fn producer(kafka: &Kafka, replies: Replies) -> Vec<Finding> {
    const SIZE: &str = "message.max.bytes";
    let config = client::producer(kafka);
    let number = |name: &str| config.get(name).and_then(|text| text.parse::<u64>().ok());
    let mut findings = Vec::new();
    if let (Some(largest), Some(limit)) = (replies.max_message_bytes, number(SIZE)) {
        let needed = largest.saturating_add(plan::MOVED_RECORD_EXTRA);
        if limit < needed {
            let what = format!("it refuses records above {limit} bytes, but a reply topic takes {largest}");
            // The queue bounds the records as well.
            let queue = "queue.buffering.max.kbytes";
            let small = number(queue).is_some_and(|kib| kib.saturating_mul(1024) < needed);
            let fix = if small {
                format!("set {queue} in [kafka.properties] to {} or more, or leave it out", needed.div_ceil(1024))
            } else {
                format!("set {SIZE} in [kafka.properties] to {needed} or more, or leave it out")
            };
            findings.push(Finding::fault(Area::Kafka, "producer", what, fix));
        }
    }
    if replies.compressed && config.get("compression.type") == Some("none") {
        let what = "it compresses nothing: a reply that compresses well may be too large for the topics it is moved to";
        findings.push(Finding::warn(Area::Kafka, "producer", what, "leave compression.type out of [kafka.properties]"));
    }
    findings
}

/// The settings of the topics that exist, and a finding when they are not all told.
async fn topic_settings(
    settings: &Settings,
    overview: &Overview,
) -> (BTreeMap<String, TopicSettings>, Option<Finding>) {
    let roles = plan::roles(settings).into_iter();
    let existing: Vec<&str> = roles.map(|(_, name)| name).filter(|name| overview.topics.contains_key(*name)).collect();
    if existing.is_empty() {
        return (BTreeMap::new(), None);
    }
    let unknown = |what: String, fix: &str| Some(Finding::warn(Area::Topics, "settings", what, fix));
    let asked = match Admin::new(&settings.kafka, overview.brokers.first().copied()) {
        Ok(admin) => admin.settings(&existing).await,
        Err(error) => Err(error.into()),
    };
    match asked {
        Ok(told) => {
            let silent: Vec<&str> = existing.into_iter().filter(|name| !told.contains_key(*name)).collect();
            let finding = if silent.is_empty() {
                None
            } else {
                let what = format!("retention, sizes and replicas in sync were not checked of {}", silent.join(", "));
                unknown(what, "grant DESCRIBE_CONFIGS on them to this user, or run the check as another")
            };
            (told, finding)
        }
        Err(AdminError::Unsupported) => {
            let what = "retention, sizes and replicas in sync were not checked: this broker does not tell them";
            (BTreeMap::new(), unknown(what.into(), "expected of `handback dev`; any Apache Kafka tells them"))
        }
        Err(AdminError::Failed(error)) => {
            let what = format!("retention, sizes and replicas in sync were not checked: {}", error.what);
            (BTreeMap::new(), unknown(what, error.advice))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(properties: &[(&str, &str)], replies: Replies) -> Vec<String> {
        let mut kafka = Kafka::default();
        properties.iter().for_each(|(name, value)| kafka.properties.set(*name, *value));
        let findings = producer(&kafka, replies).into_iter();
        findings.map(|finding| format!("{:?} {} -> {}", finding.level, finding.what, finding.fix.unwrap())).collect()
    }

    #[test]
    fn a_producer_that_could_not_move_a_reply_is_told_with_what_helps() {
        let replies = Replies { partitions: 1, max_message_bytes: Some(10_000_000), compressed: true };
        assert!(found(&[], replies).is_empty());
        let [size] = &found(&[("message.max.bytes", "1000000")], replies)[..] else { panic!("another number") };
        assert!(
            size.starts_with("Fault") && size.contains("message.max.bytes in [kafka.properties] to 10065536"),
            "{size}"
        );
        let [queue] = &found(&[("queue.buffering.max.kbytes", "1024")], replies)[..] else { panic!("another number") };
        assert!(queue.contains("queue.buffering.max.kbytes in [kafka.properties] to 9830"), "{queue}");
        for name in ["compression.type", "compression.codec"] {
            let [none] = &found(&[(name, "none")], replies)[..] else { panic!("another number") };
            assert!(none.starts_with("Warn") && none.contains("compresses nothing"), "{none}");
        }
        let uncompressed = Replies { compressed: false, ..replies };
        assert!(found(&[("compression.type", "none")], uncompressed).is_empty());
    }
}
