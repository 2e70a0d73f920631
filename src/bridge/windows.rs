//! How much a worker has in hand: records in calls, records in back-off, records that wait for a look, records whose outcome
//! is being written, and the bytes of all of them. Each window has a bound of its own, so that none starves another; of records
//! that ask the engine, of records being written and of bytes each partition has no more than a share of what is free, so that
//! one whose replies are looked up or cannot be written starves no other.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use super::partitions::Life;
use super::places::{Place, Places};

/// What a partition has of a window may come to half of what is free there: a third of the window for one alone, and when thirty
/// cannot be written at once, a sixteenth of it is still free (the rule of shared switch buffers: Choudhury and Hahne, "Dynamic
/// queue length thresholds"). A third is more than a fast broker needs: at 8 ms 1365 records are 170,000 a second.
const PART_OF_FREE: usize = 2;

/// How many records ask the engine over all partitions, for so many calls at once. What a partition has may come to all that is
/// free, so that one alone has half: that must be more than fills the window of calls, and every record more is one that a flood
/// of wrong replies lets through. And when thirty partitions wait for looks at once, a thirtieth of it is still free.
const fn max_asking(max_calls: usize) -> usize {
    (max_calls.saturating_add(1)).saturating_mul(2).saturating_add(max_calls / 2)
}

/// What a record takes beside its bytes: the decoded reply and its place in the worker.
const RECORD_OVERHEAD: usize = 512;

/// The windows of one worker.
#[derive(Debug)]
pub(crate) struct Windows {
    calls: Rc<Places>,
    waiting: Rc<Places>,
    asking: Cell<usize>,
    max_asking: usize,
    recording: Cell<usize>,
    max_recording: usize,
    records: Cell<usize>,
    bytes: Cell<usize>,
    max_bytes: usize,
    freed: Notify,
}

/// What one partition has of the windows.
#[derive(Debug, Default)]
pub(crate) struct Share {
    asking: Cell<usize>,
    recording: Cell<usize>,
    bytes: Cell<usize>,
}

/// Why there is no room for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Its partition has its share.
    Share,
    /// There is none for anybody.
    All,
}

impl Windows {
    /// `max_calls` records in calls, as many in back-off, `max_recording` whose outcome is being written.
    pub(crate) fn new(max_calls: usize, max_recording: usize, max_bytes: usize) -> Rc<Self> {
        Rc::new(Self {
            calls: Places::new(max_calls),
            waiting: Places::new(max_calls),
            asking: Cell::new(0),
            max_asking: max_asking(max_calls),
            recording: Cell::new(0),
            max_recording,
            records: Cell::new(0),
            bytes: Cell::new(0),
            max_bytes,
            freed: Notify::new(),
        })
    }

    /// Room for a record of `size` bytes, if there is some. A record larger than all bytes allowed is let in alone, and one of a
    /// partition that has nothing in hand wherever there is room at all.
    pub(crate) fn try_room(self: &Rc<Self>, life: &Rc<Life>, size: usize) -> Result<Room, Full> {
        let size = size + RECORD_OVERHEAD;
        let (all, own) = (self.bytes.get(), life.share.bytes.get());
        let free = self.max_bytes.saturating_sub(all);
        if own > 0 && PART_OF_FREE * (own + size) > free {
            return Err(Full::Share);
        }
        if all > 0 && size > free {
            return Err(Full::All);
        }
        self.bytes.set(all + size);
        life.share.bytes.set(own + size);
        self.records.set(self.records.get() + 1);
        Ok(Room { windows: Rc::clone(self), life: Rc::clone(life), size })
    }

    /// Whether one more record of a partition may ask the engine: always one, so that none waits for good.
    pub(crate) fn may_ask(&self, life: &Life) -> bool {
        let own = life.share.asking.get();
        own == 0 || own < self.max_asking.saturating_sub(self.asking.get())
    }

    /// A record of a partition asks the engine from now on, or will as soon as there is a place.
    pub(crate) fn ask(self: &Rc<Self>, life: &Rc<Life>) -> Asking {
        let mut asking = Asking { windows: Rc::clone(self), life: Rc::clone(life), as_what: Counted::Nothing };
        asking.count(Counted::Asking);
        asking
    }

    /// Whether a partition may have one more record written: always one, so that none waits for good.
    pub(crate) fn may_record(&self, life: &Life) -> bool {
        let own = life.share.recording.get();
        own == 0 || PART_OF_FREE * own < self.max_recording.saturating_sub(self.recording.get())
    }

    /// A place in the window of calls, if there is one.
    pub(crate) fn try_slot(self: &Rc<Self>, asking: Asking) -> Result<Slot, Asking> {
        let Some(call) = self.calls.try_take() else { return Err(asking) };
        Ok(Slot { asking, call: Some(call), waiting: None })
    }

    /// Resolves when a place may have become free.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Records and bytes in hand.
    pub(crate) fn in_hand(&self) -> (usize, usize) {
        (self.records.get(), self.bytes.get())
    }
}

/// The bytes of a record in hand.
#[derive(Debug)]
pub(crate) struct Room {
    windows: Rc<Windows>,
    life: Rc<Life>,
    size: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        let (windows, share) = (&self.windows, &self.life.share);
        windows.bytes.set(windows.bytes.get() - self.size);
        share.bytes.set(share.bytes.get() - self.size);
        windows.records.set(windows.records.get() - 1);
        windows.freed.notify_one();
    }
}

/// As what a record counts, over all and in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    /// Neither: it is in back-off, or done.
    Nothing,
    /// It asks the engine.
    Asking,
    /// Its outcome is being written.
    Recording,
}

/// Counts a record from when its turn in its lane has come: as one that asks the engine until its outcome is being written, but
/// not in back-off.
#[derive(Debug)]
pub(crate) struct Asking {
    windows: Rc<Windows>,
    life: Rc<Life>,
    as_what: Counted,
}

impl Asking {
    fn count(&mut self, as_what: Counted) {
        let before = std::mem::replace(&mut self.as_what, as_what);
        if before != as_what {
            self.add(before, |count| count - 1);
            self.add(as_what, |count| count + 1);
        }
    }

    fn add(&self, what: Counted, one: impl Fn(usize) -> usize) {
        let (windows, share) = (&self.windows, &self.life.share);
        let counts = match what {
            Counted::Nothing => return,
            Counted::Asking => [&windows.asking, &share.asking],
            Counted::Recording => [&windows.recording, &share.recording],
        };
        counts.iter().for_each(|count| count.set(one(count.get())));
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.count(Counted::Nothing);
    }
}

/// A started record's place.
#[derive(Debug)]
pub(crate) struct Slot {
    asking: Asking,
    call: Option<Place>,
    waiting: Option<Place>,
}

impl Slot {
    /// Goes into back-off: leaves the window of calls to others as long as the back-off window has room. Answers whether
    /// it had.
    pub(crate) fn park(&mut self) -> bool {
        if self.waiting.is_none() {
            let Some(waiting) = self.asking.windows.waiting.try_take() else { return false };
            self.waiting = Some(waiting);
            self.call = None;
            self.asking.count(Counted::Nothing);
            self.asking.windows.freed.notify_one();
        }
        true
    }

    /// Waits for looks: leaves the window of calls to others, and that of back-off too. How many of its partition may wait so
    /// was asked when its record was taken up.
    pub(crate) fn look(&mut self) {
        if self.call.take().is_some() {
            self.asking.windows.freed.notify_one();
        }
    }

    /// Comes back for the next call, as soon as there is room.
    pub(crate) async fn unpark(&mut self) {
        self.asking.count(Counted::Asking);
        if self.call.is_none() {
            self.call = Some(self.asking.windows.calls.take().await);
        }
        self.waiting = None;
    }

    /// Leaves the window of calls for that of outcomes being written. At once: how many a partition may have there was asked
    /// when its record was taken up, and whoever is called must not wait with a place among the calls.
    pub(crate) fn start_recording(&mut self) {
        self.asking.count(Counted::Recording);
        self.call = None;
        self.waiting = None;
        self.asking.windows.freed.notify_one();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.asking.count(Counted::Nothing);
        self.call = None;
        self.asking.windows.freed.notify_one();
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
