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
    pub(super) cgrp: Option<Group>,
}

/// How the client stands in its group.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Group {
    /// Of its coordinator: `up` when it is known and reachable.
    pub(super) state: String,
    /// Milliseconds since that changed.
    pub(super) stateage: i64,
    /// `steady` once it is a member and has its partitions, or knows that there are none for it.
    pub(super) join_state: String,
}

#[derive(Debug, Deserialize)]
struct Broker {
    state: String,
    /// Negative for those that are known by address alone.
    #[serde(default = "unknown")]
    nodeid: i32,
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
}

/// How far a partition reaches, as the last fetch told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    /// Oldest offset; negative while unknown.
    pub(super) low: i64,
    /// High watermark, also where an open transaction keeps from reading up to it; negative while unknown.
    pub(super) high: i64,
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

    /// A broker that has let us in.
    pub(super) fn some_broker(&self) -> Option<i32> {
        self.brokers.values().find(|b| b.state == "UP" && b.nodeid >= 0).map(|b| b.nodeid)
    }

    /// All real partitions.
    pub(super) fn reaches(&self) -> impl Iterator<Item = Reach<'_>> {
        self.topics.iter().flat_map(|(topic, t)| {
            t.partitions.values().filter(|p| p.partition >= 0).map(|p| Reach {
                topic,
                partition: p.partition,
                low: p.lo_offset,
                high: p.hi_offset,
            })
        })
    }
}

fn unknown() -> i32 {
    -1
}
