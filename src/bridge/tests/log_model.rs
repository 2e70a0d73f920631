//! A model of the consumer: partitions come and go, and no stored offset may pass a record that is not settled, whatever
//! the test is about.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, mpsc};

use tokio::sync::mpsc::{Sender, UnboundedSender};

use super::books::{Books, Event, REPLIES, WRITTEN_AT};
use crate::bridge::seams::{
    Command, Control, Epoch, Log, PartitionId, Piece, ProduceFault, ReadBack, Reading, Remembered,
};
use crate::wire::{LedgerEntry, Origin, OutRecord, Record, names, source_of};

type Offset = (PartitionId, i64);
type Prefixes = mpsc::Receiver<Vec<Offset>>;

pub(super) struct LogModel {
    /// What the producer wrote; two consumers can share it.
    pub(super) books: Rc<Books>,
    /// Every record that was ever delivered; whether it owes an outcome.
    pub(super) sent: Rc<RefCell<BTreeMap<Offset, (Record, bool)>>>,
    /// What the group would go on from.
    pub(super) stored: Rc<RefCell<HashMap<PartitionId, i64>>>,
    pub(super) paused: RefCell<BTreeSet<PartitionId>>,
    epochs: RefCell<BTreeMap<PartitionId, (Epoch, bool)>>,
    control: RefCell<Option<UnboundedSender<Control>>>,
    /// Answers to the revoke that a close brings.
    last_revoke: RefCell<Option<Prefixes>>,
    pub(super) deaf: Cell<bool>,
    pieces: RefCell<Sender<Piece>>,
    /// The member that the group knows; what earlier ones command is not heard.
    member: Cell<u32>,
    /// Names of the topics that this consumer reads, if they are retry topics.
    pub(super) retry_topics: Vec<Arc<str>>,
    /// What was asked of the outcome topic.
    pub(super) asked: RefCell<Vec<ReadBack>>,
    /// Of that, what the present member waits for.
    pub(super) unanswered: RefCell<VecDeque<ReadBack>>,
    /// Nothing is read back until the test says so.
    pub(super) mute: Cell<bool>,
}

impl Deref for LogModel {
    type Target = Books;

    fn deref(&self) -> &Books {
        &self.books
    }
}

impl LogModel {
    pub(super) fn new(books: Rc<Books>, control: UnboundedSender<Control>, pieces: Sender<Piece>) -> Self {
        Self {
            books,
            sent: Rc::default(),
            stored: Rc::default(),
            paused: RefCell::default(),
            epochs: RefCell::default(),
            control: RefCell::new(Some(control)),
            last_revoke: RefCell::default(),
            deaf: Cell::new(false),
            pieces: RefCell::new(pieces),
            member: Cell::new(0),
            retry_topics: Vec::new(),
            asked: RefCell::default(),
            unanswered: RefCell::default(),
            mute: Cell::new(false),
        }
    }

    pub(super) fn stored(&self, id: PartitionId) -> Option<i64> {
        self.stored.borrow().get(&id).copied()
    }

    pub(super) fn tell(&self, control: Control) {
        if let Some(sender) = &*self.control.borrow() {
            let _ = sender.send(control);
        }
    }

    /// Answers a question for the ledger from what was written: offsets of outcomes are their places in the list.
    pub(super) fn tell_ledger(&self, ask: ReadBack) {
        self.tell_piece(self.piece(ask, usize::MAX));
    }

    /// What is read of the outcome topic from where it was asked, at most `count` records of it.
    pub(super) fn piece(&self, ask: ReadBack, count: usize) -> Piece {
        let outcomes = self.outcome_records.borrow();
        let of_partition = outcomes.iter().filter(|record| record.partition == Some(ask.partition));
        let from = usize::try_from(ask.from.unwrap_or(0)).unwrap();
        let left = of_partition.clone().count().saturating_sub(from);
        let entries = of_partition.skip(from).take(count).filter_map(|record| {
            let entry = LedgerEntry::parse(record.headers.last(names::LEDGER)?)?;
            let topic = u16::from(record.headers.last(names::SOURCE_TOPIC)? != REPLIES);
            Some(Remembered { entry, topic: Some(topic), at_ms: WRITTEN_AT })
        });
        let next = i64::try_from(from + left.min(count)).ok();
        let reading = if left <= count { Reading::Done } else { Reading::Left((left - count) as u64) };
        Piece { ticket: ask.ticket, partition: ask.partition, entries: entries.collect(), next, reading }
    }

    /// Retention takes these records: nothing is owed for them any more.
    pub(super) fn expire(&self, id: PartitionId, from: i64, to: i64) {
        if from < to {
            self.sent.borrow_mut().range_mut((id, from)..(id, to)).for_each(|(_, (_, owes))| *owes = false);
            self.stored.borrow_mut().insert(id, to);
        }
    }

    /// Replies that owe an outcome and have none.
    pub(super) fn without_outcome(&self) -> Vec<Origin> {
        let outcomes = self.outcomes.borrow();
        let owing =
            |(record, owes): &&(Record, bool)| *owes && !outcomes.iter().any(|outcome| outcome.source == record.origin);
        self.sent.borrow().values().filter(owing).map(|(record, _)| record.origin.clone()).collect()
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
        self.unanswered.borrow_mut().clear();
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
            self.paused.borrow_mut().remove(id);
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
        for ((_, offset), (record, owes)) in self.sent.borrow().range((id, before)..(id, next)) {
            let settled = match self.retry_topics.is_empty() {
                true => self.recorded.borrow().contains(&record.origin),
                false => self.is_settled(record, (id, next)),
            };
            if *owes && !settled {
                self.fault(format!("offset {next} of {id:?} passes {offset}, whose outcome is not acknowledged"));
            }
        }
        self.stored.borrow_mut().insert(id, next);
        self.events.borrow_mut().push(Event::Stored(id, next));
    }
}

/// What concerns a consumer of retry topics.
impl LogModel {
    /// What stands on a partition from an offset on.
    pub(super) fn on_retry_topic(&self, id: PartitionId, from: i64) -> Vec<Record> {
        let topic = &self.retry_topics[usize::from(id.topic)];
        let retries = self.retries.borrow();
        let there = retries.iter().filter(|(r, _)| r.topic == *topic && r.partition == Some(id.partition));
        let place = |offset: usize, written| Origin {
            topic: Arc::clone(topic),
            partition: id.partition,
            offset: i64::try_from(offset).unwrap(),
            timestamp_ms: Some(written),
        };
        let record = |(offset, (record, written)): (usize, &(OutRecord, i64))| {
            let OutRecord { key, value, headers, .. } = record.clone();
            Record { origin: place(offset, *written), key, value, headers }
        };
        there.enumerate().skip(usize::try_from(from).unwrap()).map(record).collect()
    }

    /// Whether a record of a retry topic may be passed: its reply has an outcome, or stands on a retry topic once more,
    /// not passed yet. `passed` is the offset that is being stored.
    fn is_settled(&self, record: &Record, passed: Offset) -> bool {
        let Some(origin) = source_of(&record.headers) else { return true };
        let waits = |topic: usize| {
            let id = PartitionId { topic: u16::try_from(topic).unwrap(), partition: origin.partition };
            let next = if id == passed.0 { passed.1 } else { self.stored(id).unwrap_or(0) };
            let there = self.on_retry_topic(id, next);
            there.iter().any(|r| source_of(&r.headers).as_ref() == Some(&origin))
        };
        self.outcomes.borrow().iter().any(|outcome| outcome.source == origin) || (0..self.retry_topics.len()).any(waits)
    }
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
    fn read_back(&self, ask: ReadBack) {
        self.asked.borrow_mut().push(ask);
        if self.mute.get() {
            self.unanswered.borrow_mut().push_back(ask);
        } else {
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
