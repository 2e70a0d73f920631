//! How much a worker has in hand: records in calls, records in back-off, records whose outcome is being written, and
//! the bytes of all of them. Each window has a bound of its own, so that none starves another.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use super::places::{Place, Places};

/// The windows of one worker.
#[derive(Debug)]
pub(crate) struct Windows {
    calls: Rc<Places>,
    waiting: Rc<Places>,
    recording: Rc<Places>,
    records: Cell<usize>,
    bytes: Cell<usize>,
    max_bytes: usize,
    freed: Notify,
}

impl Windows {
    /// `max_calls` records in calls, as many in back-off, `max_recording` whose outcome is being written.
    pub(crate) fn new(max_calls: usize, max_recording: usize, max_bytes: usize) -> Rc<Self> {
        Rc::new(Self {
            calls: Places::new(max_calls),
            waiting: Places::new(max_calls),
            recording: Places::new(max_recording),
            records: Cell::new(0),
            bytes: Cell::new(0),
            max_bytes,
            freed: Notify::new(),
        })
    }

    /// Room for a record of `size` bytes, if there is some. A record larger than all bytes allowed is let in alone.
    pub(crate) fn try_room(self: &Rc<Self>, size: usize) -> Option<Room> {
        if self.bytes.get() > 0 && self.bytes.get() + size > self.max_bytes {
            return None;
        }
        self.bytes.set(self.bytes.get() + size);
        self.records.set(self.records.get() + 1);
        Some(Room { windows: Rc::clone(self), size })
    }

    /// A place in the window of calls, if there is one.
    pub(crate) fn try_slot(self: &Rc<Self>) -> Option<Slot> {
        let call = self.calls.try_take()?;
        Some(Slot { windows: Rc::clone(self), call: Some(call), waiting: None, recording: None })
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
    size: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        let windows = &self.windows;
        windows.bytes.set(windows.bytes.get() - self.size);
        windows.records.set(windows.records.get() - 1);
        windows.freed.notify_one();
    }
}

/// A started record's place.
#[derive(Debug)]
pub(crate) struct Slot {
    windows: Rc<Windows>,
    call: Option<Place>,
    waiting: Option<Place>,
    recording: Option<Place>,
}

impl Slot {
    /// Goes into back-off: leaves the window of calls to others as long as the back-off window has room. Answers whether
    /// it had.
    pub(crate) fn park(&mut self) -> bool {
        if self.waiting.is_none() {
            let Some(waiting) = self.windows.waiting.try_take() else { return false };
            self.waiting = Some(waiting);
            self.call = None;
            self.windows.freed.notify_one();
        }
        true
    }

    /// Comes back for the next call, as soon as there is room.
    pub(crate) async fn unpark(&mut self) {
        if self.call.is_none() {
            self.call = Some(self.windows.calls.take().await);
        }
        self.waiting = None;
    }

    /// Leaves the window of calls for the window of outcomes being written.
    pub(crate) async fn start_recording(&mut self) {
        self.recording = Some(self.windows.recording.take().await);
        self.call = None;
        self.waiting = None;
        self.windows.freed.notify_one();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.call = None;
        self.windows.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_bytes_in_hand_are_bounded() {
        let windows = Windows::new(2, 2, 100);
        let first = windows.try_room(60).expect("room");
        assert!(windows.try_room(60).is_none(), "too many bytes");
        let second = windows.try_room(40).expect("room");
        assert_eq!(windows.in_hand(), (2, 100));
        drop((first, second));
        let alone = windows.try_room(1_000);
        assert!(alone.is_some(), "a huge record goes alone, not never");
        assert!(windows.try_room(1).is_none());
        let slots = (windows.try_slot(), windows.try_slot());
        assert!(slots.0.is_some() && slots.1.is_some());
        assert!(windows.try_slot().is_none(), "too many calls");
    }

    #[tokio::test]
    async fn a_record_in_back_off_leaves_its_place_to_others() {
        let windows = Windows::new(1, 1, 100);
        let mut waiting = windows.try_slot().expect("room");
        waiting.park();
        let mut other = windows.try_slot().expect("the place was given up");
        other.park();
        assert!(windows.try_slot().is_none(), "the back-off window is bounded too: the second keeps its place");
        drop(other);
        waiting.unpark().await;
        waiting.start_recording().await;
        assert!(windows.try_slot().is_some(), "outcomes are written outside the window of calls");
    }
}
