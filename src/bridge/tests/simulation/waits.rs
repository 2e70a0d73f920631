//! How long replies wait, and whether it shows.
//!
//! Every tenth of a second each reply that has neither an outcome nor a place on a retry topic is looked at. Trouble of its own
//! is what the model did to its activity, workflow, domain, partition or topic, or to the engine as a whole. Since that was last
//! there no more than [`LONGEST`] may pass.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::activities::{NOWHERE_ID, is_asked_to_stop, number};
use super::faults::Fault;
use super::world::{Of, World};
use crate::bridge::seams::{PartitionId, ProduceFault};
use crate::bridge::tests::model::Called;
use crate::bridge::tests::support::{Stage, seconds};
use crate::wire::{Action, Limits, Origin, Record, Target, decode, names, source_of};

/// How long a reply may wait after its own trouble is over. Made up of the longest pauses that can follow on each other in the
/// settings of the simulation: a write that the client gives up (3 s) and the pause behind it (5 s, `WRITE_PAUSES`); of a spent
/// record the pause between calls (1 s), a call (2 s), a probe of the engine (0.5 s) and one reply that goes first (2 s); a stop
/// of the flood guard (1 s) with its trial (0.5 s). That is 15 s, and a third more for what was in hand before it.
pub(super) const LONGEST: Duration = seconds(20);

/// The two promises that are kept here.
pub(super) const EXPLAINED: &str = "no reply waits longer than its own trouble explains";
pub(super) const SHOWN: &str = "whatever waits is visible";

/// Whatever has waited so long is visible.
const VISIBLE: Duration = seconds(15);

/// How long that may not show, when one reason ends and another one begins: several turns of a worker's loop.
const HIDDEN: Duration = seconds(1);

/// A reason is the one of the record that raised it first, for as long as any record stands behind it.
const REASONS_ARE_REFRESHED: bool = false;

/// How far readiness may lag behind: the longest pause between two writes of a record, and a write.
const STALE: Duration = seconds(9);

/// In what time a flood of wrong replies stops its topic: each of them is looked for (0.5 s), a dozen at once.
const STOPPED_BY: Duration = seconds(4);

/// The metric of topics that were stopped.
fn stops(stage: &Stage) -> String {
    let metrics = stage.shared.metrics.encode();
    metrics.lines().find(|line| line.starts_with("handback_flood_stops_total")).unwrap_or_default().to_owned()
}

struct Wait {
    since: Instant,
    activity: Option<u32>,
    /// A name with an attempt that never begins, or a cancel that nobody asked for.
    never: bool,
    /// Since when neither readiness nor a metric shows it.
    hidden_since: Cell<Option<Instant>>,
}

#[derive(Default)]
pub(super) struct Waits {
    waiting: RefCell<BTreeMap<(PartitionId, i64), (Wait, Record)>>,
    arrived: RefCell<HashMap<Origin, Arrived>>,
    wrote: RefCell<HashMap<Origin, Instant>>,
    /// Writes that failed and were not tried again yet, by topic and origin.
    failing: RefCell<BTreeMap<(String, String), (String, Instant)>>,
    stale: RefCell<BTreeMap<String, Instant>>,
    /// Since when a ledger has the answer to an activity, by the number of its partition.
    acked: RefCell<HashMap<(u32, i32), Instant>>,
    /// Outcomes that were looked at for that.
    seen: Cell<usize>,
    /// Floods that were sent, and how many stops there were before.
    stops: RefCell<Vec<(Instant, PartitionId, String)>>,
}

/// When a reply could be read first.
struct Arrived {
    at: Instant,
    by_token: bool,
    activity: Option<u32>,
}

/// The activity that a record answers, how, and for an attempt that never begins or not.
fn activity_of(record: &Record) -> Option<(u32, Action, bool, bool)> {
    let reply = decode(record, &Limits::default()).ok()?;
    let (activity, future, by_token) = match &reply.target {
        Target::Token(token) => (number(token.claims().activity_id), false, true),
        Target::ById(id) => (number(&id.activity_id), id.attempt == Some(1), false),
    };
    Some((activity, reply.answer.action(), future, by_token))
}

impl Waits {
    /// A reply can be read from now on.
    pub(super) fn arrive(&self, id: PartitionId, record: &Record) {
        let known = activity_of(record);
        let by_token = known.is_some_and(|(.., by_token)| by_token);
        let arrived = Arrived { at: Instant::now(), by_token, activity: known.map(|(activity, ..)| activity) };
        self.arrived.borrow_mut().entry(record.origin.clone()).or_insert(arrived);
        if known.is_some_and(|(_, action, ..)| action == Action::Heartbeat) {
            return;
        }
        let never =
            known.is_some_and(|(n, action, future, _)| future || action == Action::Cancel && !is_asked_to_stop(n));
        let activity = known.map(|(activity, ..)| activity);
        let wait = Wait { since: Instant::now(), activity, never, hidden_since: Cell::new(None) };
        self.waiting.borrow_mut().insert((id, record.origin.offset), (wait, record.clone()));
    }

    /// A write about a reply was not acknowledged at once. Answers the activity that it is about.
    pub(super) fn note_write(&self, origin: &Origin) -> Option<u32> {
        self.wrote.borrow_mut().insert(origin.clone(), Instant::now());
        self.arrived.borrow().get(origin).and_then(|arrived| arrived.activity)
    }

    pub(super) fn fails(&self, topic: &str, origin: &Origin, fault: &ProduceFault) {
        let (ProduceFault::Transient(text)
        | ProduceFault::Permanent(text)
        | ProduceFault::TooLarge(text)
        | ProduceFault::Fatal(text)) = fault;
        let key = (topic.to_owned(), origin.to_string());
        self.failing.borrow_mut().insert(key, (text.clone(), Instant::now()));
    }

    pub(super) fn succeeds(&self, topic: &str, origin: &Origin) {
        self.failing.borrow_mut().remove(&(topic.to_owned(), origin.to_string()));
    }

    /// Retention took these, or they were never to be answered.
    pub(super) fn forget(&self, id: PartitionId, from: i64, to: i64) {
        self.waiting.borrow_mut().retain(|(of, offset), _| *of != id || !(from..to).contains(offset));
    }

    /// A flood of wrong replies has come to a partition: its topic is to be stopped soon.
    pub(super) fn expect_stop(&self, stage: &Stage, id: PartitionId) {
        self.stops.borrow_mut().push((Instant::now(), id, stops(stage)));
    }
}

impl World {
    /// Looks at everything that waits.
    pub(super) fn look_around(&self, replies: &[&Stage]) {
        self.note_lasting();
        self.check_truth(&replies[0].log.outcomes.borrow());
        let recorded = replies[0].log.recorded.borrow();
        let mut waiting = self.waits.waiting.borrow_mut();
        waiting.retain(|_, (_, record)| !recorded.contains(&record.origin));
        let metrics = OnceCell::new();
        for ((id, offset), (wait, record)) in &*waiting {
            let free_since = self.free_since(*id, wait, record);
            let waited = wait.since.elapsed();
            if free_since.elapsed() > LONGEST && !self.is_stopped(replies, record) {
                self.story.broke(EXPLAINED, || {
                    let what = wait.activity.map_or_else(|| "no reply".to_owned(), |n| format!("a{n}"));
                    format!(
                        "{}/{}/{offset} ({what}) has waited for {waited:?}, for {:?} of it without trouble of its own",
                        record.origin.topic,
                        id.partition,
                        free_since.elapsed()
                    )
                });
            } else if !self.is_stopped_lately(record) {
                self.story.waited(free_since.elapsed());
            }
            // A member that is given up shares metrics and readiness with its successor here, and nowhere else.
            let unsure = self.menu.has(Fault::Zombie);
            let metrics = || metrics.get_or_init(|| replies[0].shared.metrics.encode());
            if unsure || waited < VISIBLE || shows(replies[0], record, metrics()) {
                wait.hidden_since.set(None);
            } else if wait.hidden_since.get().is_none() {
                wait.hidden_since.set(Some(Instant::now()));
            } else if wait.hidden_since.get().is_some_and(|since| since.elapsed() > HIDDEN) {
                self.story.broke(SHOWN, || {
                    format!("{}/{}/{offset} has waited for {waited:?}", record.origin.topic, id.partition)
                });
            }
        }
        drop(waiting);
        self.check_readiness(replies[0]);
        self.note_acked(replies[0]);
        self.check_stops(replies[0]);
    }

    /// Where nothing else holds its replies up, a flood of wrong ones stops its topic.
    fn check_stops(&self, stage: &Stage) {
        let mut expected = self.waits.stops.borrow_mut();
        expected.retain(|(at, id, before)| {
            let troubled = [Of::Engine, Of::Partition(id.partition), Of::Retries(id.partition)];
            let held_up = troubled.iter().any(|of| self.last_trouble(of).is_some_and(|last| last + STOPPED_BY > *at));
            let unsure = held_up || !self.sick.borrow().is_empty() || self.menu.has(Fault::SlowCalls);
            if unsure || at.elapsed() < STOPPED_BY {
                return !unsure;
            }
            if stops(stage) == *before {
                let text = || format!("nothing was stopped within {STOPPED_BY:?} of a flood on {id:?}");
                self.story.broke("a flood of wrong replies stops its topic", text);
            }
            false
        });
    }

    /// Since when a reply has had no trouble of its own.
    fn free_since(&self, id: PartitionId, wait: &Wait, record: &Record) -> Instant {
        let mut last = wait.since;
        let mut note = |at: Option<Instant>| last = last.max(at.unwrap_or(last));
        if wait.never || wait.activity.is_none() {
            // It is looked for, or written, in its time: what holds that up is a matter of its partition.
            note(self.waits.wrote.borrow().get(&record.origin).copied());
        }
        note(wait.activity.and_then(|activity| self.troubled(activity)));
        // What cannot leave holds places of its partition.
        let topic = Of::Topic(record.origin.topic.to_string());
        for of in [Of::Engine, Of::Partition(id.partition), Of::Retries(id.partition), topic] {
            note(self.last_trouble(&of));
        }
        last
    }

    /// Whether the flood guard has stopped the reply's topic.
    fn is_stopped(&self, replies: &[&Stage], record: &Record) -> bool {
        let flood = format!("handback_flood_state{{topic=\"{}\",", record.origin.topic);
        let metrics = replies[0].shared.metrics.encode();
        let stopped = metrics.lines().any(|line| line.starts_with(&flood) && !line.ends_with(" 0"));
        if stopped {
            self.trouble(Of::Topic(record.origin.topic.to_string()));
        }
        stopped
    }

    fn is_stopped_lately(&self, record: &Record) -> bool {
        self.last_trouble(&Of::Topic(record.origin.topic.to_string())).is_some()
    }

    /// What readiness says is so: a write that it names fails at the moment, and only domains of the settings are its matter.
    fn check_readiness(&self, stage: &Stage) {
        let mut stale = self.waits.stale.borrow_mut();
        if stage.shared.health.is_ready() {
            return stale.clear();
        }
        let failing = self.waits.failing.borrow();
        let reasons = stage.shared.health.reasons();
        stale.retain(|key, _| reasons.iter().any(|(raised, _)| raised == key));
        for (key, reason) in reasons {
            let foreign = [NOWHERE_ID, "nowhere"].iter().any(|name| key.contains(name));
            if foreign {
                self.story.broke("a domain that is not in the settings makes nothing unready", || reason.clone());
            }
            let Some(topic) = key.strip_prefix("write/").and_then(|rest| rest.split('/').next()) else { continue };
            let now = failing.iter().any(|((to, origin), (text, _))| {
                to == topic && reason.contains(&format!("{origin} ")) && reason.contains(text.as_str())
            });
            if now {
                stale.remove(&key);
            } else if stale.entry(key).or_insert_with(Instant::now).elapsed() > STALE && REASONS_ARE_REFRESHED {
                self.story.broke("a reason to be unready is the present one", || reason.clone());
            }
        }
    }

    /// Takes note of what ledgers hold from now on: what was applied on a reply topic.
    fn note_acked(&self, stage: &Stage) {
        let (outcomes, records) = (stage.log.outcomes.borrow(), stage.log.outcome_records.borrow());
        let retries = stage.log.retries.borrow();
        let seen = self.waits.seen.replace(outcomes.len());
        for (outcome, record) in outcomes.iter().zip(&*records).skip(seen) {
            let retried = retries.iter().any(|(retry, _)| source_of(&retry.headers).as_ref() == Some(&outcome.source));
            let activity = outcome.activity.as_ref().and_then(|activity| activity.activity_id.as_deref());
            if let Some(activity) = activity.filter(|_| !retried && record.headers.last(names::LEDGER).is_some()) {
                let key = (number(activity), outcome.source.partition);
                self.waits.acked.borrow_mut().entry(key).or_insert_with(Instant::now);
            }
        }
    }

    /// What a worker has recorded itself, and not given away since, it knows: a repeat of it costs no call.
    pub(super) fn check_ledger(&self, called: &Called, activity: u32) {
        // With more than one owner there is more than one ledger.
        let unsure = [Fault::Zombie, Fault::Crash, Fault::Rebalance, Fault::SlowLedger]
            .iter()
            .any(|fault| self.menu.has(*fault));
        if called.action == Action::Heartbeat || unsure {
            return;
        }
        let arrived = self.waits.arrived.borrow();
        let arrived = arrived.iter().find(|(origin, _)| called.identity.contains(&format!("/{origin}/")));
        let Some((origin, Arrived { at, by_token: true, .. })) = arrived else { return };
        let Some(known) = self.waits.acked.borrow().get(&(activity, origin.partition)).copied() else { return };
        let disturbed = self.last_trouble(&Of::Partition(origin.partition)).is_some_and(|at| at >= known);
        if !disturbed && *at > known {
            self.story.broke("a repeat of what a worker has recorded itself costs no call", || {
                format!("a{activity} is called for {origin}, and was recorded {:?} ago", known.elapsed())
            });
        }
    }
}

/// Whether readiness or a metric says that something waits there.
fn shows(stage: &Stage, record: &Record, metrics: &str) -> bool {
    if !stage.shared.health.is_ready() {
        return true;
    }
    let Origin { topic, partition, .. } = &record.origin;
    let (topic, partition) = (format!("topic=\"{topic}\""), format!("partition=\"{partition}\""));
    metrics.lines().filter(|line| line.contains(&topic)).any(|line| {
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
        let oldest = line.starts_with("handback_oldest_unsettled_seconds") && line.contains(&partition);
        oldest && value > 5.0 || line.starts_with("handback_flood_state") && value > 0.0
    })
}
