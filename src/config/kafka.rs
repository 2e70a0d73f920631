//! `[kafka]`: the cluster and how this process is a member of its consumer group.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::section::section;
use super::{Properties, human};

section! {
    /// The Kafka cluster and this process's place in its consumer group.
    pub struct Kafka {
        /// Bootstrap brokers, `host:port` separated by commas.
        pub brokers: String = "localhost:9092".into(),

        // No default: two teams on one cluster that share a group would split each other's replies.
        /// Consumer group. Required by `handback run`. All handback processes of one bridge share it.
        pub group_id: String = String::new(),

        // "consumer" (KIP-848) needs Kafka 4.0, and librdkafka before 2.15 stalls in some reconciliations.
        /// Rebalance protocol: `classic` (cooperative-sticky) or `consumer` (KIP-848, Kafka 4.0 and later).
        pub group_protocol: GroupProtocol = GroupProtocol::Classic,

        // Must differ between processes: equal ids can send librdkafka's assignor into an endless loop.
        /// Client id. Empty means `handback-<hostname>-<pid>`. Give every process its own.
        pub client_id: String = String::new(),

        // Kafka's own default: a rolling restart of a broker does not cost the membership.
        /// A member that is silent for this long loses its partitions (`classic` only; `consumer` has it on the broker).
        #[serde(with = "human")]
        pub session_timeout: Duration = Duration::from_secs(45),

        // What a crash repeats is bounded by this; the commits themselves cost one small request each.
        /// How often stored offsets are committed.
        #[serde(with = "human")]
        pub auto_commit_interval: Duration = Duration::from_secs(1),

        // Long enough for a leader election, short enough for a rebalance callback within the session timeout.
        /// Bound of every blocking look-up: metadata, watermarks, committed offsets.
        #[serde(with = "human")]
        pub metadata_timeout: Duration = Duration::from_secs(10),

        /// Anything else for librdkafka (`security.protocol`, `sasl.password`, `ssl.ca.location`, ...). What handback
        /// itself decides is refused here. By environment: `HANDBACK__KAFKA__PROPERTIES__SASL_PASSWORD`.
        pub properties: Properties = Properties::default(),
    }
}

impl Kafka {
    /// The group that reads the retry topics (`docs/wire-contract.md`, section 1).
    #[must_use]
    pub fn retry_group_id(&self) -> String {
        format!("{}-retry", self.group_id)
    }
}

/// How the members of the group agree on who reads what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupProtocol {
    /// Join and sync among the members, with the cooperative-sticky assignor.
    Classic,
    /// The broker assigns (KIP-848).
    Consumer,
}
