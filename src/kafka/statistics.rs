//! The few fields of librdkafka's statistics that are used here.

use std::collections::HashMap;

use serde::Deserialize;

/// One report.
#[derive(Debug, Deserialize)]
pub(super) struct Statistics {
    #[serde(default)]
    brokers: HashMap<String, Broker>,
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

#[derive(Debug, Deserialize)]
struct Broker {
    state: String,
}

#[derive(Debug, Deserialize)]
struct Topic {
    partitions: HashMap<String, Partition>,
}

#[derive(Debug, Deserialize)]
struct Partition {
    partition: i32,
    lo_offset: i64,
    hi_offset: i64,
    /// End of the partition up to which committed transactions reach; what a consumer can get to.
    ls_offset: i64,
}

/// How far a partition reaches, as librdkafka last heard. It asks even for partitions that are paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    /// Oldest offset; negative while unknown.
    pub(super) low: i64,
    /// One past the newest readable record; negative while unknown.
    pub(super) end: i64,
}

impl Statistics {
    /// Reads a report; a broken one is worth a debug line, no more.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).inspect_err(|error| tracing::debug!(%error, "unreadable statistics")).ok()
    }

    /// Whether any broker has let us in.
    pub(super) fn connected(&self) -> bool {
        self.brokers.values().any(|b| b.state == "UP")
    }

    /// All real partitions.
    pub(super) fn reaches(&self) -> impl Iterator<Item = Reach<'_>> {
        self.topics.iter().flat_map(|(topic, t)| {
            t.partitions.values().filter(|p| p.partition >= 0).map(|p| Reach {
                topic,
                partition: p.partition,
                low: p.lo_offset,
                end: if p.ls_offset >= 0 { p.ls_offset } else { p.hi_offset },
            })
        })
    }
}
