//! The topics against the contract. Pure: what the brokers told in, findings out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::finding::{Area, Finding};
use crate::cli::paint::plural;
use crate::cli::topics::plan::{self, MOVED_RECORD_EXTRA, Replies, Role};
use crate::config::Settings;
use crate::kafka::cluster::{Overview, Topic};
use crate::kafka::topics::TopicSettings;

/// Replicas that a topic of the contract should have.
const REPLICAS: usize = 3;

/// What is wrong or right with each topic of the contract. A topic without settings in `told` is judged by its
/// metadata alone.
pub(super) fn judge(settings: &Settings, overview: &Overview, told: &BTreeMap<String, TopicSettings>) -> Vec<Finding> {
    let replies = plan::replies(settings, &overview.topics, told);
    let mut findings = Vec::new();
    for (role, name) in plan::roles(settings) {
        let Some(topic) = overview.topics.get(name) else {
            findings.push(missing(role, name, dispatched_to(settings, name)));
            continue;
        };
        let mut judged = Judged { role, name, findings: Vec::new() };
        judged.metadata(topic, replies, overview.brokers.len());
        if let Some(told) = told.get(name) {
            judged.replicas_in_sync(topic, told);
            judged.cleanup(told);
            judged.retention(told);
            judged.size(told, replies);
            judged.compression(told, replies);
            if dispatched_to(settings, name) {
                judged.request_size(told, plan::request_limit(settings));
            }
        }
        if judged.findings.is_empty() {
            judged.findings.push(Finding::ok(Area::Topics, name, summary(role, topic, told.get(name))));
        }
        findings.append(&mut judged.findings);
    }
    findings
}

/// Whether a route leads to this topic.
fn dispatched_to(settings: &Settings, name: &str) -> bool {
    let leads_there = |topic: &str| topic == name || (topic.is_empty() && settings.topics.requests == name);
    settings.dispatch.routes.iter().any(|route| leads_there(&route.topic))
}

fn missing(role: Role, name: &str, dispatched_to: bool) -> Finding {
    let what = format!("does not exist, or this user may not see it ({})", role.as_str());
    let fix = "create it with `handback topics create`, or grant DESCRIBE on it";
    match role {
        Role::Requests if dispatched_to => Finding::fault(Area::Topics, name, what, fix),
        // Other request topics are others' to write; retry topics can be done without.
        Role::Requests | Role::Retry => Finding::warn(Area::Topics, name, what, fix),
        Role::Replies | Role::Outcomes | Role::DeadLetters => Finding::fault(Area::Topics, name, what, fix),
    }
}

/// A topic while it is judged.
struct Judged<'a> {
    role: Role,
    name: &'a str,
    findings: Vec<Finding>,
}

impl Judged<'_> {
    fn warn(&mut self, what: String, fix: String) {
        self.findings.push(Finding::warn(Area::Topics, self.name, what, fix));
    }

    fn fault(&mut self, what: String, fix: String) {
        self.findings.push(Finding::fault(Area::Topics, self.name, what, fix));
    }

    fn metadata(&mut self, topic: &Topic, replies: Option<Replies>, brokers: usize) {
        if topic.leaderless > 0 {
            let what = format!("{} of {} partitions have no leader", topic.leaderless, topic.partitions);
            self.fault(what, "bring the brokers back that hold them".into());
        } else if topic.under_replicated > 0 {
            let what = format!("{} of {} partitions lack a replica in sync", topic.under_replicated, topic.partitions);
            self.warn(what, "bring the missing brokers back".into());
        }
        if let Some(replies) = replies
            && self.role.follows_replies()
            && topic.partitions < replies.partitions
        {
            let what = format!(
                "{} partitions, but a reply topic has {}: records go to the partition of the same number",
                topic.partitions, replies.partitions
            );
            self.fault(what, format!("raise the partitions of {} to {}", self.name, replies.partitions));
        }
        // Fewer brokers than that is a finding of its own.
        if topic.replication_factor < brokers.min(REPLICAS) {
            let what = match topic.replication_factor {
                1 => "1 replica: a lost disk loses its records".to_owned(),
                number => format!("{number} replicas: none may be away while writes need two in sync"),
            };
            self.warn(what, format!("reassign {} to {REPLICAS} replicas", self.name));
        }
    }

    fn replicas_in_sync(&mut self, topic: &Topic, settings: &TopicSettings) {
        let Some(needed) = number(settings, "min.insync.replicas") else { return };
        let replicas = i64::try_from(topic.replication_factor).unwrap_or(i64::MAX);
        if needed > replicas {
            let (fitting, replicas) = ((replicas - 1).max(1), plural(topic.replication_factor, "replica"));
            let what = format!("min.insync.replicas is {needed}, but there is only {replicas}: no write succeeds");
            self.fault(what, format!("set min.insync.replicas of {} to {fitting}", self.name));
        } else if needed < 2 && replicas > 1 {
            let what = "min.insync.replicas is 1: what was acknowledged can be lost with one broker".to_owned();
            self.warn(what, format!("set min.insync.replicas of {} to 2", self.name));
        }
    }

    fn cleanup(&mut self, settings: &TopicSettings) {
        let Some(policy) = settings.get("cleanup.policy") else { return };
        if policy.contains("compact") {
            let what = format!("cleanup.policy is {policy}: compaction removes records that share a key");
            self.fault(what, format!("set cleanup.policy of {} to delete", self.name));
        }
    }

    fn retention(&mut self, settings: &TopicSettings) {
        let wanted = plan::retention(self.role, self.name);
        // A negative retention keeps everything.
        let Some(Ok(millis)) = number(settings, "retention.ms").map(u64::try_from) else { return };
        let kept = Duration::from_millis(millis);
        if kept < wanted {
            let what = format!("records are kept for {}, {} is advised", human(kept), human(wanted));
            self.warn(what, format!("set retention.ms of {} to {}", self.name, wanted.as_millis()));
        }
    }

    fn size(&mut self, settings: &TopicSettings, replies: Option<Replies>) {
        let limits = (number(settings, "max.message.bytes"), replies.and_then(|replies| replies.max_message_bytes));
        let (Some(limit), Some(largest)) = limits else { return };
        let needed = largest.saturating_add(MOVED_RECORD_EXTRA);
        if self.role.follows_replies() && u64::try_from(limit).unwrap_or(0) < needed {
            let what = format!(
                "max.message.bytes is {limit}, but a reply topic takes {largest}: a large reply could not be moved here"
            );
            self.fault(what, format!("set max.message.bytes of {} to {needed}", self.name));
        }
    }
}

impl Judged<'_> {
    /// A limit counts what stands in the log: uncompressed, a record of the same limit may be ten times as large.
    fn compression(&mut self, settings: &TopicSettings, replies: Option<Replies>) {
        let compressed = replies.is_some_and(|replies| replies.compressed);
        let holds_replies = matches!(self.role, Role::DeadLetters | Role::Retry);
        if holds_replies && compressed && plan::is_uncompressed(settings) {
            let what = "compression.type is uncompressed, and a reply topic's is not: a reply that compresses well may be too \
                        large to be moved here";
            self.warn(what.to_owned(), format!("set compression.type of {} to producer", self.name));
        }
    }

    fn request_size(&mut self, settings: &TopicSettings, needed: u64) {
        let Some(limit) = number(settings, "max.message.bytes") else { return };
        if u64::try_from(limit).unwrap_or(0) < needed {
            let what = format!(
                "max.message.bytes is {limit}, but dispatch.max_request_bytes asks for {needed}: activities with larger \
                 arguments fail (handback.TooLarge)"
            );
            let fix =
                format!("set max.message.bytes of {} to {needed}, or lower dispatch.max_request_bytes", self.name);
            self.warn(what, fix);
        }
    }
}

fn summary(role: Role, topic: &Topic, settings: Option<&TopicSettings>) -> String {
    let mut parts = vec![
        role.as_str().to_owned(),
        plural(topic.partitions, "partition"),
        plural(topic.replication_factor, "replica"),
    ];
    if let Some(settings) = settings {
        if let Some(needed) = number(settings, "min.insync.replicas") {
            parts.push(format!("{needed} in sync"));
        }
        match number(settings, "retention.ms").map(u64::try_from) {
            Some(Ok(millis)) => parts.push(format!("kept {}", human(Duration::from_millis(millis)))),
            Some(Err(_)) => parts.push("kept for ever".into()),
            None => {}
        }
    }
    parts.join(", ")
}

fn number(settings: &TopicSettings, name: &str) -> Option<i64> {
    settings.get(name)?.parse().ok()
}

fn human(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}

#[cfg(test)]
mod tests;
