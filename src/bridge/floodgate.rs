//! The flood guard of one worker: counts what becomes of each reply, stops topics, says so, and lets them flow again. When
//! is told by `flood`, which is pure; what it means for partitions is in `worker/flood.rs`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::core::Core;
use super::flood::{Change, Flood, State, Stop, Ticket};
use super::options::Options;
use super::seams::{Engine, Log, PartitionId};
use super::tiers::Cause;
use super::unforeseen::{is_unforeseen, is_unforeseen_delay};
use super::work::{Conclusion, Work};
use crate::admin::FloodGauge;
use crate::wire::{OutcomeKind, RefusalCode};

/// Lets replies of each topic in, or none.
#[derive(Debug)]
pub(crate) struct Floodgate {
    /// None when topics are never stopped.
    flood: Option<Rc<RefCell<Flood>>>,
    began: Instant,
}

/// A reply that was let in, for as long as it is in hand.
#[derive(Debug)]
pub(crate) struct Taken(Option<(Rc<RefCell<Flood>>, Cell<Ticket>)>);

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some((flood, ticket)) = &self.0 {
            flood.borrow_mut().leave(&ticket.get());
        }
    }
}

impl Taken {
    /// Whether nothing more needs to be said of it.
    fn is_told(&self) -> bool {
        self.0.as_ref().is_none_or(|(_, ticket)| ticket.get().is_told())
    }

    fn tell(&self, say: impl FnOnce(&mut Flood, &mut Ticket) -> Option<Change>) -> Option<Change> {
        let (flood, ticket) = self.0.as_ref()?;
        let mut known = ticket.get();
        let change = say(&mut flood.borrow_mut(), &mut known);
        ticket.set(known);
        change
    }
}

impl Floodgate {
    /// Open for all topics.
    pub(crate) fn new(options: &Options) -> Self {
        let flood = options.flood.map(|policy| Flood::new(policy, options.topics()));
        Self { flood: flood.map(|flood| Rc::new(RefCell::new(flood))), began: Instant::now() }
    }

    /// Whether a reply of this partition may be taken up.
    pub(crate) fn admits(&self, id: PartitionId) -> bool {
        self.flood.as_ref().is_none_or(|flood| flood.borrow().admits(usize::from(id.topic)))
    }

    /// Whether the topic of this partition is stopped.
    pub(crate) fn is_stopped(&self, id: PartitionId) -> bool {
        self.flood.as_ref().is_some_and(|flood| flood.borrow().state(usize::from(id.topic)) == State::Stopped)
    }

    /// Whether some replies of the topic of this partition go first.
    pub(crate) fn is_tried(&self, id: PartitionId) -> bool {
        self.flood.as_ref().is_some_and(|flood| flood.borrow().state(usize::from(id.topic)) == State::Trial)
    }

    /// Whether the topic of this partition flows again, and not for long yet.
    pub(crate) fn is_wary(&self, id: PartitionId) -> bool {
        self.flood.as_ref().is_some_and(|flood| flood.borrow().is_wary(self.now(), usize::from(id.topic)))
    }

    /// A reply of this partition is taken up.
    pub(crate) fn take(&self, id: PartitionId) -> Taken {
        Taken(self.flood.as_ref().map(|flood| {
            let ticket = flood.borrow_mut().take(usize::from(id.topic));
            (Rc::clone(flood), Cell::new(ticket))
        }))
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

impl<E: Engine, L: Log> Core<E, L> {
    /// Takes note of what becomes of a reply. Before that is written: a slow log must not let more in meanwhile.
    pub(crate) fn weigh(&self, work: &Work, conclusion: &Conclusion) {
        let code = conclusion.reason.and_then(RefusalCode::parse);
        if !self.dead_letters(work, conclusion) || !is_unforeseen(conclusion.outcome, code) {
            return self.ended_well(work);
        }
        self.count_letter(work, conclusion.reason.unwrap_or_else(|| conclusion.outcome.as_str()));
    }

    /// Takes note of a reply that leaves for a retry topic, where nobody would foresee that.
    pub(crate) async fn weigh_delay(&self, work: &Work, cause: Cause, ending: &Conclusion) {
        if self.floodgate.flood.is_none() {
            return;
        }
        // It may leave for want of room before it has waited for its domain.
        let cause = if ending.unknown_domain { Cause::UnknownDomain } else { cause };
        let counts = match cause {
            Cause::UnknownDomain => self.is_strange(work).await,
            cause => is_unforeseen_delay(cause),
        };
        if counts {
            self.count_letter(work, cause.as_str());
        }
    }

    /// Takes note of a reply that is wrong in itself as soon as it is taken up: of rubbish no more is let in than the limit.
    pub(crate) fn weigh_refusal(&self, work: &Work) {
        if let Err(refusal) = &work.reply
            && is_unforeseen(OutcomeKind::Rejected, Some(refusal.code))
        {
            self.count_letter(work, refusal.code.as_str());
        }
    }

    fn count_letter(&self, work: &Work, reason: &'static str) {
        let (now, origin) = (self.floodgate.now(), &work.record.origin);
        self.flood_changed(work.partition.topic, work.taken.tell(|f, t| f.letter(now, t, reason, origin)));
    }

    /// A reply ended well, or in a way that was to be expected. Says nothing about one that was weighed already.
    pub(crate) fn ended_well(&self, work: &Work) {
        if work.taken.is_told() {
            return;
        }
        let now = self.floodgate.now();
        self.flood_changed(work.partition.topic, work.taken.tell(|f, t| f.fine(now, t)));
    }

    /// What time has changed about the topics that are stopped or tried, and how all of them are doing.
    pub(crate) fn look_after_floods(&self) {
        let Some(flood) = &self.floodgate.flood else { return };
        for topic in (0..).take(self.options.topics()) {
            let name = self.options.topic(topic);
            let change = flood.borrow_mut().tick(self.floodgate.now(), usize::from(topic));
            self.flood_changed(topic, change);
            let state = match flood.borrow().state(usize::from(topic)) {
                State::Flowing => {
                    self.unready.clear(&key(name));
                    FloodGauge::Flowing
                }
                State::Trial => FloodGauge::Trial,
                State::Stopped => FloodGauge::Stopped,
            };
            self.metrics.flood(self.options.worker, name, state);
        }
    }

    fn flood_changed(&self, topic: u16, change: Option<Change>) {
        let Some(change) = change else { return };
        let name = self.options.topic(topic);
        match change {
            Change::Stopped(stop) => {
                self.metrics.flood_stopped();
                // Which says it aloud.
                self.unready.raise(&key(name), self.why_stopped(name, &stop));
            }
            Change::Trying => tracing::info!(topic = %name, "some replies are tried; the others wait"),
            Change::Flowing => tracing::info!(topic = %name, "its replies are taken up again"),
        }
    }

    fn why_stopped(&self, topic: &str, stop: &Stop) -> String {
        let Stop { letters, replies, code, alike, example, pause } = stop;
        let policy = self.options.flood;
        let window = humantime::format_duration(policy.map(|policy| policy.window).unwrap_or_default());
        let trial = policy.map_or(0, |policy| policy.trial);
        let (pause, dlq) = (humantime::format_duration(*pause), &self.options.dead_letter_topic);
        format!(
            "{topic} is stopped for {pause}: of its last {replies} replies within {window}, {letters} became dead letters \
             or left for a retry topic to become some, {alike} of them {code}, the last one {example}. Its other replies wait on \
             the topic; nothing is lost. Look at that record on {dlq}, or where it stands, and mend or stop the service that writes such replies. After the pause up to {trial} are \
             tried. To let all of them go to {dlq}, restart with flood.enabled = false"
        )
    }
}

/// Key under which a stopped topic is a reason to be unready.
fn key(topic: &str) -> String {
    format!("flood/{topic}")
}
