//! How far partitions are behind, against their high watermark: also those that are halted, paused, unreadable, or held up by
//! an open transaction, of which nothing is delivered.

use std::time::Duration;

use rdkafka::consumer::ConsumerContext;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::native::{EventConsumer, Spec};
use super::positions::Named;
use super::rebalance::Context;
use super::statistics::Statistics;
use crate::bridge::seams::PartitionId;

/// How often the high watermarks are asked for. What is fetched brings its own; librdkafka asks for no others. One request for
/// each leader.
const ASK: Duration = Duration::from_secs(5);

/// How long an answer is waited for. Nothing waits with it.
const ANSWER: Duration = Duration::from_secs(10);

/// After how long a question without an answer is given up: librdkafka answers, if with nothing, soon after [`ANSWER`]. A
/// question that is asked takes the place of the one before, and what a slow broker leads is not all that is asked for.
const GIVE_UP: Duration = Duration::from_secs(15);

/// What is known of one partition.
#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    /// High watermark as asked for.
    asked: Option<i64>,
    /// High watermark as the last fetch told it: old as soon as nothing is fetched.
    fetched: Option<i64>,
    /// Oldest offset, where the settled position is not known.
    low: Option<i64>,
    /// Position, and since when it stands there with more behind it.
    still: Option<(i64, Instant)>,
    /// High watermark as first seen of a halted partition whose log has lost its end: what is written from there is not read.
    shortened: Option<i64>,
}

/// What is known of all partitions, and the question that is under way.
#[derive(Debug, Default)]
pub(super) struct Lags {
    table: FxHashMap<PartitionId, Behind>,
    /// When was asked last.
    asked_at: Option<Instant>,
    /// What was asked for; empty once the answer is there.
    asking: Vec<(PartitionId, Spec)>,
}

impl Lags {
    pub(super) fn forget(&mut self, id: PartitionId) {
        self.table.remove(&id);
    }

    fn fetched(&mut self, id: PartitionId, low: i64, high: i64) {
        let behind = self.table.entry(id).or_default();
        behind.low = Some(low).filter(|low| *low >= 0).or(behind.low);
        behind.fetched = Some(high).filter(|high| *high >= 0).or(behind.fetched);
    }

    fn answered(&mut self, id: PartitionId, offset: i64) {
        let Some((_, spec)) = self.asking.iter().find(|(asked, _)| *asked == id) else { return };
        let behind = self.table.entry(id).or_default();
        match spec {
            Spec::Earliest => behind.low = Some(offset),
            Spec::Latest => behind.asked = Some(offset),
        }
    }

    /// Whether it is time to ask: never while an answer may still come.
    fn may_ask(&self, now: Instant) -> bool {
        let wait = if self.asking.is_empty() { ASK } else { GIVE_UP };
        self.asked_at.is_none_or(|at| at + wait <= now)
    }

    /// Records behind the settled position, and since when it stands still; `None` while either end is unknown. Of a halted
    /// partition nothing is fetched, so that the last fetch says nothing of its end. Where that lies before the settled
    /// position, at least one record is told: how many were lost and written anew nobody knows.
    fn look(&mut self, id: PartitionId, settled: Option<i64>, halted: bool, now: Instant) -> Option<(i64, Duration)> {
        let behind = self.table.get_mut(&id)?;
        let high = if halted { behind.asked.or(behind.fetched) } else { behind.asked.max(behind.fetched) }?;
        let settled = settled.or(behind.low)?;
        let lag = if halted && high < settled {
            (high - *behind.shortened.get_or_insert(high)).max(1)
        } else {
            behind.shortened = None;
            (high - settled).max(0)
        };
        if lag == 0 {
            behind.still = None;
            return Some((0, Duration::ZERO));
        }
        let since = match behind.still {
            Some((position, since)) if position == settled => since,
            _ => now,
        };
        behind.still = Some((settled, since));
        Some((lag, now.duration_since(since)))
    }

    /// What to ask of a partition.
    fn spec(&self, id: PartitionId, settled: Option<i64>) -> Spec {
        let low_known = settled.is_some() || self.table.get(&id).is_some_and(|behind| behind.low.is_some());
        if low_known { Spec::Latest } else { Spec::Earliest }
    }
}

impl Context {
    /// Asks for high watermarks at times, and takes in what came. Does not block.
    pub(super) fn look_after_ends<C: ConsumerContext>(&self, consumer: &EventConsumer<C>) {
        let now = Instant::now();
        if let Some(answers) = consumer.offsets() {
            let mut partitions = self.partitions();
            for (topic, partition, offset) in answers {
                if let Some(id) = partitions.id(&topic, partition) {
                    partitions.lags.answered(id, offset);
                }
            }
            partitions.lags.asking.clear();
        }
        if !self.partitions().lags.may_ask(now) {
            return;
        }
        let mut partitions = self.partitions();
        partitions.lags.asked_at = Some(now);
        let ours = partitions.assigned();
        let asking: Vec<_> = ours.iter().map(|(id, settled)| (*id, partitions.lags.spec(*id, *settled))).collect();
        let question: Vec<(Named, Spec)> = asking.iter().map(|(id, spec)| (partitions.named(*id), *spec)).collect();
        partitions.lags.asking = asking;
        drop(partitions);
        if !question.is_empty() && !consumer.ask_offsets(&question, ANSWER) {
            tracing::debug!(consumer = %self.name, "high watermarks could not be asked for");
        }
    }

    /// Reports how far each partition is behind.
    pub(super) fn report_lags(&self, statistics: &Statistics) {
        let now = Instant::now();
        let mut reports = Vec::new();
        {
            let mut partitions = self.partitions();
            for reach in statistics.reaches() {
                if let Some(id) = partitions.id(reach.topic, reach.partition) {
                    partitions.lags.fetched(id, reach.low, reach.high);
                }
            }
            for (id, settled) in partitions.assigned() {
                let halted = !partitions.is_read(id);
                let Some((lag, still)) = partitions.lags.look(id, settled, halted, now) else { continue };
                reports.push((partitions.named(id), lag, still));
            }
        }
        for ((topic, partition), lag, still) in reports {
            self.observer.lag(&topic, partition, lag);
            self.observer.standing(&topic, partition, still);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId { topic: 0, partition: 3 };

    fn asked(lags: &mut Lags, spec: Spec, offset: i64) {
        lags.asking = vec![(P, spec)];
        lags.answered(P, offset);
    }

    #[test]
    fn what_stands_still_with_more_behind_it_grows_old_whatever_the_cause() {
        let (mut lags, start) = (Lags::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(lags.look(P, Some(10), false, at(0)), None, "nothing is known yet");
        asked(&mut lags, Spec::Latest, 10);
        assert_eq!(lags.look(P, Some(10), false, at(100)), Some((0, Duration::ZERO)));
        asked(&mut lags, Spec::Latest, 30);
        assert_eq!(
            lags.look(P, Some(10), false, at(200)),
            Some((20, Duration::ZERO)),
            "since it is known that there is more"
        );
        assert_eq!(lags.look(P, Some(10), false, at(260)), Some((20, Duration::from_secs(60))));
        assert_eq!(lags.look(P, Some(11), false, at(261)), Some((19, Duration::ZERO)), "it moved");
        assert_eq!(lags.look(P, Some(30), false, at(262)), Some((0, Duration::ZERO)));
    }

    #[test]
    fn an_old_watermark_of_the_last_fetch_hides_nothing() {
        let mut lags = Lags::default();
        lags.fetched(P, 0, 10);
        asked(&mut lags, Spec::Latest, 30);
        lags.fetched(P, -1, -1);
        lags.fetched(P, 0, 10);
        assert_eq!(lags.look(P, Some(10), false, Instant::now()).map(|(lag, _)| lag), Some(20));
    }

    #[test]
    fn a_partition_whose_start_is_unknown_is_measured_from_its_oldest_record() {
        let mut lags = Lags::default();
        assert_eq!(lags.spec(P, None), Spec::Earliest);
        assert_eq!(lags.spec(P, Some(1)), Spec::Latest);
        asked(&mut lags, Spec::Earliest, 5);
        assert_eq!(lags.spec(P, None), Spec::Latest);
        asked(&mut lags, Spec::Latest, 8);
        assert_eq!(lags.look(P, None, false, Instant::now()).map(|(lag, _)| lag), Some(3));
    }

    #[test]
    fn a_halted_partition_whose_log_has_lost_its_end_is_behind_and_grows_old() {
        let (mut lags, start) = (Lags::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        lags.fetched(P, 0, 1000);
        asked(&mut lags, Spec::Latest, 800);
        assert_eq!(lags.look(P, Some(1000), false, at(0)), Some((0, Duration::ZERO)), "settled since it was asked for");
        assert_eq!(lags.look(P, Some(1000), true, at(10)), Some((1, Duration::ZERO)));
        asked(&mut lags, Spec::Latest, 950);
        assert_eq!(lags.look(P, Some(1000), true, at(70)), Some((150, Duration::from_secs(60))));
        asked(&mut lags, Spec::Latest, 1100);
        assert_eq!(lags.look(P, Some(1000), true, at(90)), Some((100, Duration::from_secs(80))));
    }

    #[test]
    fn nothing_is_asked_while_an_answer_may_still_come() {
        let (mut lags, start) = (Lags::default(), Instant::now());
        assert!(lags.may_ask(start));
        (lags.asked_at, lags.asking) = (Some(start), vec![(P, Spec::Latest)]);
        assert!(!lags.may_ask(start + ASK) && !lags.may_ask(start + ANSWER), "a slow leader is waited for");
        assert!(lags.may_ask(start + GIVE_UP));
        lags.asking.clear();
        assert!(lags.may_ask(start + ASK) && !lags.may_ask(start + ASK / 2));
    }
}
