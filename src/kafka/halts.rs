//! Which partitions a member would not read where its group stands, learnt from outside of the group.
//!
//! The same judgement as a member's own ([`positions::decide`], [`Note`](super::notes::Note)). What only fetching shows, a log
//! that lacks records which were read, stays unknown here.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::cluster::{Cluster, Overview, Unreachable};
use super::identity::Identity;
use super::native::{AskTopicIds, TopicIds};
use super::positions::{self, Committed, Halt, Named, OnGap, Start};

impl Cluster {
    /// The halted partitions of `topics`, those of the overview that exist. Of a topic that was made again, the first partition
    /// stands for all. `accepted` is topic and id of those that may be read although they were made again.
    ///
    /// # Errors
    /// When the group's coordinator does not tell within `timeout` what is committed. Brokers that tell neither ids nor
    /// offsets are no error: what is committed is believed then, as a member does.
    pub fn halts(
        &self,
        overview: &Overview,
        topics: &[String],
        accepted: Vec<(String, String)>,
        on_gap: OnGap,
        timeout: Duration,
    ) -> Result<Vec<Halt>, Unreachable> {
        let partitions = |name: &String| overview.topics.get(name).map_or(0, |topic| topic.partitions);
        let named: Vec<Named> = topics
            .iter()
            .flat_map(|name| (0..i32::try_from(partitions(name)).unwrap_or(0)).map(|p| (name.clone(), p)))
            .collect();
        let committed = positions::committed(self.consumer(), &named, timeout)
            .map_err(|error| Unreachable { what: error.to_string(), advice: "the brokers' log says more" })?;
        let marks = positions::watermarks(self.consumer(), &named, timeout);
        let ids = self.topic_ids(overview, topics, timeout);
        let accepted = Identity::new(accepted);
        let (mut halts, mut remade) = (Vec::new(), HashSet::new());
        for name in named {
            let Some(Committed { offset, note }) = committed.get(&name).copied() else { continue };
            let start = match (note.topic_id, ids.get(&name.0).copied()) {
                (Some(was), Some(is)) if was != is && accepted.accepts(&name.0, is) => continue,
                (Some(was), Some(is)) if was != is => Start::Recreated { was, is },
                _ => positions::decide(Some(offset), marks.get(&name).copied()),
            };
            if matches!(start, Start::Recreated { .. }) && !remade.insert(name.0.clone()) {
                continue;
            }
            halts.extend(positions::halt(&name.0, name.1, start, on_gap));
        }
        Ok(halts)
    }

    fn topic_ids(&self, overview: &Overview, topics: &[String], timeout: Duration) -> TopicIds {
        let client = self.consumer().client();
        let Some((broker, mut ask)) = overview.brokers.first().zip(AskTopicIds::new(client)) else {
            return TopicIds::new();
        };
        let topics: Vec<_> = topics.iter().map(|name| name.as_str().into()).collect();
        ask.ask(client, &topics, *broker, timeout);
        // It ends by itself, in an error at the latest.
        let answer = ask.answer(timeout + Duration::from_secs(1)).unwrap_or_else(|| Ok(TopicIds::new()));
        answer.inspect_err(|error| tracing::debug!(%error, "cannot read the topics' ids")).unwrap_or_default()
    }
}
