//! What the producer wrote: writes end as the script says, and the promised order of writes is checked at every step,
//! whatever the test is about.

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt;

use super::model::Holds;
use super::support::wall_clock;
use crate::bridge::seams::{PartitionId, ProduceFault};
use crate::wire::{Action, Origin, OutRecord, Outcome, OutcomeKind, source_of};

pub(super) const REPLIES: &str = "activity-replies";
pub(super) const OUTCOMES: &str = "activity-outcomes";
pub(super) const DEAD_LETTERS: &str = "activity-replies-dlq";

/// What becomes of one write.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Ack,
    AckAfter(Duration),
    /// Waits until the test releases the topic.
    Held,
    Fail(ProduceFault),
    FailAfter(Duration, ProduceFault),
    /// Written at once, acknowledged later.
    Late(Duration),
    /// Written, and the acknowledgement is lost.
    Unheard,
    Panic,
}

pub(super) fn transient() -> Act {
    Act::Fail(ProduceFault::Transient("no leader".to_owned()))
}

pub(super) fn permanent() -> Act {
    Act::Fail(ProduceFault::Permanent("the record is too large; raise max.message.bytes".to_owned()))
}

pub(super) fn too_large() -> Act {
    Act::Fail(ProduceFault::TooLarge("raise max.message.bytes to 2000000".to_owned()))
}

/// What the consumer and the producer saw, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Writing(String, i64),
    Acknowledged(String, i64),
    Stored(PartitionId, i64),
    Paused(Vec<PartitionId>),
    Resumed(Vec<PartitionId>),
    Closed,
}

/// The time of the models.
pub(super) const WRITTEN_AT: i64 = 1_763_800_000_000;

/// Events of one test beyond which something spins without a pause.
const RUNAWAY: usize = 200_000;

type Decide = Box<dyn FnMut(&OutRecord) -> Act>;

pub(super) struct Books {
    decide: RefCell<Decide>,
    holds: Holds,
    pub(super) events: RefCell<Vec<Event>>,
    pub(super) outcomes: RefCell<Vec<Outcome>>,
    /// Where every record stands whose outcome, or whose move to a retry topic, is acknowledged.
    pub(super) recorded: RefCell<HashSet<Origin>>,
    pub(super) outcome_records: RefCell<Vec<OutRecord>>,
    pub(super) dead_letters: RefCell<Vec<OutRecord>>,
    /// What was moved to retry topics, and when, in milliseconds since the epoch.
    pub(super) retries: RefCell<Vec<(OutRecord, i64)>>,
    /// Broken promises.
    pub(super) faults: RefCell<Vec<String>>,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            decide: RefCell::new(Box::new(|_| Act::Ack)),
            holds: Holds::default(),
            events: RefCell::default(),
            outcomes: RefCell::default(),
            recorded: RefCell::default(),
            outcome_records: RefCell::default(),
            dead_letters: RefCell::default(),
            retries: RefCell::default(),
            faults: RefCell::default(),
        }
    }
}

impl Books {
    /// What becomes of writes from now on.
    pub(super) fn on_write(&self, decide: impl FnMut(&OutRecord) -> Act + 'static) {
        *self.decide.borrow_mut() = Box::new(decide);
    }

    /// What becomes of the next writes to `topic`, one act each; everything else is acknowledged.
    pub(super) fn script(&self, topic: &'static str, acts: impl IntoIterator<Item = Act>) {
        let mut acts: Vec<Act> = acts.into_iter().collect();
        acts.reverse();
        self.on_write(move |record| if &*record.topic == topic { acts.pop().unwrap_or(Act::Ack) } else { Act::Ack });
    }

    pub(super) fn always(&self, topic: &'static str, act: Act) {
        self.on_write(move |record| if &*record.topic == topic { act.clone() } else { Act::Ack });
    }

    /// Lets held writes to this topic go on.
    pub(super) fn release(&self, topic: &str) {
        self.holds.release(topic);
    }

    pub(super) fn kinds(&self) -> Vec<OutcomeKind> {
        self.outcomes.borrow().iter().map(|outcome| outcome.kind).collect()
    }

    pub(super) fn position(&self, event: &Event) -> Option<usize> {
        self.events.borrow().iter().position(|seen| seen == event)
    }

    pub(super) fn fault(&self, text: String) {
        self.faults.borrow_mut().push(text);
    }

    /// The promise: an outcome that comes with a dead letter waits for the dead letter.
    fn check_order(&self, outcome: &Outcome) {
        use OutcomeKind::{Conflict, Exhausted, Rejected, Unknown};
        let source = outcome.source.offset;
        let heartbeat = outcome.action == Some(Action::Heartbeat);
        let needed = matches!(outcome.kind, Rejected | Conflict | Exhausted) || outcome.kind == Unknown && !heartbeat;
        let letters = self.dead_letters.borrow();
        let there =
            letters.iter().filter_map(|letter| source_of(&letter.headers)).any(|origin| origin == outcome.source);
        if needed && !there {
            self.fault(format!("the outcome of {source} is written before its dead letter is acknowledged"));
        }
    }

    pub(super) async fn produce(&self, record: OutRecord) -> Result<(), ProduceFault> {
        let outcome = (&*record.topic == OUTCOMES).then(|| Outcome::parse(record.value.as_ref().unwrap()).unwrap());
        let offset = source_offset(&record, outcome.as_ref());
        self.events.borrow_mut().push(Event::Writing(record.topic.to_string(), offset));
        assert!(self.events.borrow().len() < RUNAWAY, "writes without a pause");
        if let Some(outcome) = &outcome {
            self.check_order(outcome);
        }
        let act = (self.decide.borrow_mut())(&record);
        match act {
            Act::Ack => {}
            Act::AckAfter(delay) => tokio::time::sleep(delay).await,
            Act::Late(delay) => {
                self.append(outcome, &record, offset);
                tokio::time::sleep(delay).await;
                return Ok(());
            }
            Act::Unheard => {
                self.append(outcome, &record, offset);
                return Err(ProduceFault::Transient("the connection broke".to_owned()));
            }
            Act::Held => self.holds.wait(&record.topic).await,
            Act::Fail(fault) => return Err(fault),
            Act::FailAfter(delay, fault) => return tokio::time::sleep(delay).map(|()| Err(fault)).await,
            // Past the panic hook: its backtraces are noise here, and slow.
            Act::Panic => std::panic::resume_unwind(Box::new("the model log was told to panic")),
        }
        self.append(outcome, &record, offset);
        Ok(())
    }

    fn append(&self, outcome: Option<Outcome>, record: &OutRecord, offset: i64) {
        self.events.borrow_mut().push(Event::Acknowledged(record.topic.to_string(), offset));
        match outcome {
            Some(outcome) => {
                self.recorded.borrow_mut().insert(outcome.source.clone());
                self.outcomes.borrow_mut().push(outcome);
                self.outcome_records.borrow_mut().push(record.clone());
            }
            None if record.topic.contains("-retry-") => {
                self.recorded.borrow_mut().extend(source_of(&record.headers));
                self.retries.borrow_mut().push((record.clone(), wall_clock()));
            }
            None => self.dead_letters.borrow_mut().push(record.clone()),
        }
    }
}

fn source_offset(record: &OutRecord, outcome: Option<&Outcome>) -> i64 {
    let origin = outcome.map(|outcome| outcome.source.clone()).or_else(|| source_of(&record.headers));
    origin.map_or(-1, |origin| origin.offset)
}
