//! A model of the log and its consumer: writes end as the script says, and every promise about the order of writes and
//! offsets is checked at every step, whatever the test is about.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc::{Sender, UnboundedSender};

use super::model::Holds;
use crate::bridge::seams::{
    Command, Control, Epoch, Log, PartitionId, Piece, ProduceFault, ReadBack, Reading, Remembered,
};
use crate::wire::{Action, LedgerEntry, OutRecord, Outcome, OutcomeKind, Record, names, source_of};

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

type Offset = (PartitionId, i64);
type Prefixes = mpsc::Receiver<Vec<Offset>>;
type Decide = Box<dyn FnMut(&OutRecord) -> Act>;

pub(super) struct LogModel {
    decide: RefCell<Decide>,
    holds: Holds,
    pub(super) events: RefCell<Vec<Event>>,
    pub(super) outcomes: RefCell<Vec<Outcome>>,
    /// Partition and offset of every outcome acknowledged.
    recorded: RefCell<BTreeSet<(i32, i64)>>,
    pub(super) outcome_records: RefCell<Vec<OutRecord>>,
    pub(super) dead_letters: RefCell<Vec<OutRecord>>,
    /// Every record that was ever delivered; whether it owes an outcome.
    pub(super) sent: RefCell<BTreeMap<Offset, (Record, bool)>>,
    /// What the group would go on from.
    pub(super) stored: RefCell<HashMap<PartitionId, i64>>,
    pub(super) paused: RefCell<BTreeSet<PartitionId>>,
    /// Broken promises.
    pub(super) faults: RefCell<Vec<String>>,
    epochs: RefCell<BTreeMap<PartitionId, (Epoch, bool)>>,
    control: RefCell<Option<UnboundedSender<Control>>>,
    /// Answers to the revoke that a close brings.
    last_revoke: RefCell<Option<Prefixes>>,
    pub(super) deaf: Cell<bool>,
    pieces: RefCell<Sender<Piece>>,
    /// The member that the group knows; what earlier ones command is not heard.
    member: Cell<u32>,
    /// What was asked of the outcome topic.
    pub(super) asked: RefCell<Vec<ReadBack>>,
    /// Nothing is read back until the test says so.
    pub(super) mute: Cell<bool>,
}

impl LogModel {
    pub(super) fn new(control: UnboundedSender<Control>, pieces: Sender<Piece>) -> Self {
        Self {
            decide: RefCell::new(Box::new(|_| Act::Ack)),
            holds: Holds::default(),
            events: RefCell::default(),
            outcomes: RefCell::default(),
            recorded: RefCell::default(),
            outcome_records: RefCell::default(),
            dead_letters: RefCell::default(),
            sent: RefCell::default(),
            stored: RefCell::default(),
            paused: RefCell::default(),
            faults: RefCell::default(),
            epochs: RefCell::default(),
            control: RefCell::new(Some(control)),
            last_revoke: RefCell::default(),
            deaf: Cell::new(false),
            pieces: RefCell::new(pieces),
            member: Cell::new(0),
            asked: RefCell::default(),
            mute: Cell::new(false),
        }
    }

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

    pub(super) fn stored(&self, id: PartitionId) -> Option<i64> {
        self.stored.borrow().get(&id).copied()
    }

    pub(super) fn position(&self, event: &Event) -> Option<usize> {
        self.events.borrow().iter().position(|seen| seen == event)
    }

    pub(super) fn tell(&self, control: Control) {
        if let Some(sender) = &*self.control.borrow() {
            let _ = sender.send(control);
        }
    }

    /// Answers a question for the ledger from what was written: offsets of outcomes are their places in the list.
    pub(super) fn tell_ledger(&self, ask: ReadBack) {
        let outcomes = self.outcome_records.borrow();
        let of_partition = outcomes.iter().filter(|record| record.partition == Some(ask.partition));
        let from = usize::try_from(ask.from.unwrap_or(0)).unwrap();
        let entries = of_partition.clone().skip(from).filter_map(|record| {
            let entry = LedgerEntry::parse(record.headers.last(names::LEDGER)?)?;
            Some(Remembered { entry, topic: Some(0), at_ms: WRITTEN_AT })
        });
        let (entries, next) = (entries.collect(), i64::try_from(of_partition.count()).ok());
        let piece = Piece { ticket: ask.ticket, partition: ask.partition, entries, next, reading: Reading::Done };
        self.tell_piece(piece);
    }

    pub(super) fn tell_piece(&self, piece: Piece) {
        self.pieces.borrow().try_send(piece).expect("room for a piece");
    }

    /// Another member takes the place of the present one, with nothing assigned yet. Answers its number, and the end of the
    /// old one's control channel.
    pub(super) fn replace(
        &self,
        control: UnboundedSender<Control>,
        pieces: Sender<Piece>,
    ) -> (u32, Option<UnboundedSender<Control>>) {
        let ours: Vec<_> = self.epochs.borrow().iter().filter(|(_, e)| e.1).map(|(id, _)| *id).collect();
        self.end(&ours);
        self.paused.borrow_mut().clear();
        self.member.set(self.member.get() + 1);
        *self.pieces.borrow_mut() = pieces;
        (self.member.get(), self.control.borrow_mut().replace(control))
    }

    /// The consumer thread is gone.
    pub(super) fn vanish(&self) {
        self.control.borrow_mut().take();
    }

    pub(super) fn epoch(&self, id: PartitionId) -> Epoch {
        self.epochs.borrow().get(&id).map_or(0, |(epoch, _)| *epoch)
    }

    pub(super) fn is_assigned(&self, id: PartitionId) -> bool {
        self.epochs.borrow().get(&id).is_some_and(|(_, assigned)| *assigned)
    }

    pub(super) fn assign(&self, ids: &[PartitionId]) {
        let mut epochs = self.epochs.borrow_mut();
        let assigned = ids.iter().map(|id| {
            let (epoch, assigned) = epochs.entry(*id).or_default();
            (*epoch, *assigned) = (*epoch + 1, true);
            self.paused.borrow_mut().remove(id);
            (*id, *epoch)
        });
        self.tell(Control::Assigned(assigned.collect()));
    }

    pub(super) fn revoke(&self, ids: &[PartitionId]) -> Prefixes {
        let (answer, prefixes) = mpsc::sync_channel(1);
        self.tell(Control::Revoked(self.end(ids), answer));
        prefixes
    }

    pub(super) fn lose(&self, ids: &[PartitionId]) {
        self.tell(Control::Lost(self.end(ids)));
    }

    fn end(&self, ids: &[PartitionId]) -> Vec<(PartitionId, Epoch)> {
        let mut epochs = self.epochs.borrow_mut();
        let end = |id: &PartitionId| {
            let (epoch, assigned) = epochs.get_mut(id).expect("assigned before");
            let ended = (*id, *epoch);
            (*epoch, *assigned) = (*epoch + 1, false);
            ended
        };
        ids.iter().map(end).collect()
    }

    /// Takes what was answered to a revoke, if it was.
    pub(super) fn answered(&self, prefixes: &Prefixes) -> Option<Vec<Offset>> {
        let answered = prefixes.try_recv().ok()?;
        answered.iter().for_each(|(id, next)| self.store(*id, *next));
        Some(answered)
    }

    /// What was answered to the revoke that the close brought.
    pub(super) fn last_prefixes(&self) -> Option<Vec<Offset>> {
        let last = self.last_revoke.borrow_mut().take()?;
        self.answered(&last)
    }

    /// The promise: a stored offset never passes a record whose outcome was not acknowledged before.
    fn store(&self, id: PartitionId, next: i64) {
        let before = self.stored(id).unwrap_or(i64::MIN);
        if next < before {
            return self.fault(format!("the offset of {id:?} goes back from {before} to {next}"));
        }
        for ((_, offset), (_, owes)) in self.sent.borrow().range((id, before)..(id, next)) {
            if *owes && !self.recorded.borrow().contains(&(id.partition, *offset)) {
                self.fault(format!("offset {next} of {id:?} passes {offset}, whose outcome is not acknowledged"));
            }
        }
        self.stored.borrow_mut().insert(id, next);
        self.events.borrow_mut().push(Event::Stored(id, next));
    }

    fn fault(&self, text: String) {
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
}

fn source_offset(record: &OutRecord, outcome: Option<&Outcome>) -> i64 {
    let origin = outcome.map(|outcome| outcome.source.clone()).or_else(|| source_of(&record.headers));
    origin.map_or(-1, |origin| origin.offset)
}

/// The log as one worker sees it.
pub(super) struct Member {
    pub(super) model: Rc<LogModel>,
    pub(super) number: u32,
}

impl Member {
    /// A member that the group has given up cannot store offsets; what it writes is written all the same.
    fn is_fenced(&self) -> bool {
        self.model.member.get() != self.number
    }
}

impl Log for Member {
    async fn produce(&self, record: OutRecord) -> Result<(), ProduceFault> {
        self.model.produce(record).await
    }

    fn read_back(&self, ask: ReadBack) {
        if !self.is_fenced() {
            self.model.read_back(ask);
        }
    }

    fn command(&self, command: Command) {
        if !self.is_fenced() {
            self.model.command(command);
        }
    }
}

impl LogModel {
    async fn produce(&self, record: OutRecord) -> Result<(), ProduceFault> {
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
                self.recorded.borrow_mut().insert((outcome.source.partition, outcome.source.offset));
                self.outcomes.borrow_mut().push(outcome);
                self.outcome_records.borrow_mut().push(record.clone());
            }
            None => self.dead_letters.borrow_mut().push(record.clone()),
        }
    }

    fn read_back(&self, ask: ReadBack) {
        self.asked.borrow_mut().push(ask);
        if !self.mute.get() {
            self.tell_ledger(ask);
        }
    }

    fn command(&self, command: Command) {
        match command {
            Command::Store(offsets) => {
                let ours = offsets.into_iter().filter(|(id, _)| self.is_assigned(*id));
                ours.for_each(|(id, next)| self.store(id, next));
            }
            Command::Pause(ids) => {
                self.paused.borrow_mut().extend(&ids);
                self.events.borrow_mut().push(Event::Paused(ids));
            }
            Command::Resume(ids) => {
                self.paused.borrow_mut().retain(|id| !ids.contains(id));
                self.events.borrow_mut().push(Event::Resumed(ids));
            }
            Command::Close => {
                self.events.borrow_mut().push(Event::Closed);
                if self.deaf.get() {
                    return;
                }
                let ours: Vec<_> = self.epochs.borrow().iter().filter(|(_, e)| e.1).map(|(id, _)| *id).collect();
                *self.last_revoke.borrow_mut() = Some(self.revoke(&ours));
                self.vanish();
            }
        }
    }
}
