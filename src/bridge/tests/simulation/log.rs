//! What becomes of writes, and of what is read back for ledgers.

use super::activities::MAX_BYTES;
use super::faults::Fault;
use super::world::{Of, World};
use crate::bridge::seams::{Piece, ProduceFault, ReadBack, Reading};
use crate::bridge::tests::books::{Act, DEAD_LETTERS, OUTCOMES, permanent, transient};
use crate::bridge::tests::log_model::LogModel;
use crate::bridge::tests::support::{millis, seconds};
use crate::wire::{Origin, OutRecord, Outcome, source_of};

/// The topics of which a partition may be unwritable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unwritten {
    Outcomes,
    DeadLetters,
    Retries,
}

impl Unwritten {
    fn of(topic: &str) -> Self {
        match topic {
            OUTCOMES => Self::Outcomes,
            DEAD_LETTERS => Self::DeadLetters,
            _ => Self::Retries,
        }
    }
}

/// The record that something is written about.
pub(super) fn about(record: &OutRecord) -> Option<Origin> {
    let outcome = || Outcome::parse(record.value.as_ref()?).ok().map(|outcome| outcome.source);
    source_of(&record.headers).or_else(outcome)
}

fn size(record: &OutRecord) -> usize {
    record.value.as_ref().map_or(0, bytes::Bytes::len)
}

impl World {
    /// Reads on for the ledgers that were asked for: whole, in part, in vain, or not yet.
    pub(super) fn read_ledgers(&self, log: &LogModel) {
        let slow = self.menu.has(Fault::SlowLedger) && !self.menu.is_calm();
        loop {
            let Some(ask) = log.unanswered.borrow_mut().pop_front() else { return };
            let piece = match if slow { self.choices.weighed(&[50, 25, 5, 5, 15]) } else { 0 } {
                0 => log.piece(ask, usize::MAX),
                1 => log.piece(ask, self.choices.below(5)),
                2 => {
                    let reading = Reading::Failed("no leader".to_owned());
                    Piece { reading, ..log.piece(ask, self.choices.below(5)) }
                }
                3 => return,
                _ => return log.unanswered.borrow_mut().push_front(ask),
            };
            if let Reading::Left(_) = piece.reading {
                log.unanswered.borrow_mut().push_front(ReadBack { from: piece.next, ..ask });
            }
            log.tell_piece(piece);
            if slow {
                return;
            }
        }
    }

    pub(super) fn write(&self, record: &OutRecord) -> Act {
        self.change();
        let (topic, origin) = (Unwritten::of(&record.topic), about(record));
        let number = record.partition.or(origin.as_ref().map(|origin| origin.partition)).unwrap_or(0);
        let act = self.act(record, topic, number);
        self.story.tell(|| {
            let origin = origin.as_ref().map_or_else(|| "nothing known".to_owned(), ToString::to_string);
            format!("write to {}/{number} about {origin}: {act:?}", record.topic)
        });
        if !matches!(act, Act::Ack) {
            self.trouble(if topic == Unwritten::Retries { Of::Retries(number) } else { Of::Partition(number) });
            // Later replies to the same activity wait behind this one, whatever partition they are of.
            let activity = origin.as_ref().and_then(|origin| self.waits.note_write(origin));
            activity.iter().for_each(|activity| self.trouble(Of::Activity(*activity)));
        }
        if let (Act::Fail(fault) | Act::FailAfter(_, fault), Some(origin)) = (&act, &origin) {
            self.waits.fails(&record.topic, origin, fault);
        } else if let Some(origin) = &origin {
            self.waits.succeeds(&record.topic, origin);
        }
        match act {
            Act::Ack if self.steady.get() => Act::AckAfter(millis(1)),
            act => act,
        }
    }

    fn act(&self, record: &OutRecord, topic: Unwritten, number: i32) -> Act {
        if topic != Unwritten::Outcomes && size(record) > MAX_BYTES {
            return Act::Fail(ProduceFault::TooLarge("raise max.message.bytes".to_owned()));
        }
        if self.unwritable.borrow().contains(&(topic, number)) {
            let fault = ProduceFault::Transient("not enough in-sync replicas".to_owned());
            // As the client does: it tries for long by itself.
            return Act::FailAfter(seconds(3), fault);
        }
        let faults = [(Fault::WriteFails, 10), (Fault::SlowWrites, 20), (Fault::AckLost, 15)];
        match self.menu.single(&self.choices, &faults) {
            None => Act::Ack,
            Some(Fault::WriteFails) if self.choices.chance(25) => permanent(),
            Some(Fault::WriteFails) => transient(),
            Some(Fault::AckLost) if self.choices.chance(60) => Act::Late(self.choices.millis(900)),
            Some(Fault::AckLost) => Act::Unheard,
            Some(_) => Act::AckAfter(self.choices.millis(900)),
        }
    }
}
