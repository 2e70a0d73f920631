//! What happened in a schedule, as a person can read it.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt::Write as _;

use tokio::time::Instant;

/// The first promise that a schedule broke.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    /// Which one: a shortened schedule must break the same.
    pub(super) promise: String,
    pub(super) text: String,
}

/// The story of one schedule. It is told only when a failure is played again: texts cost time.
pub(super) struct Story {
    began: OnceCell<Instant>,
    told: RefCell<Vec<(u128, String)>>,
    pub(super) is_told: bool,
    broken: RefCell<Option<Broken>>,
    longest: Cell<std::time::Duration>,
}

impl Story {
    pub(super) fn new(is_told: bool) -> Self {
        Self {
            began: OnceCell::new(),
            told: RefCell::default(),
            is_told,
            broken: RefCell::default(),
            longest: Cell::default(),
        }
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            let began = self.began.get_or_init(Instant::now);
            self.told.borrow_mut().push((began.elapsed().as_millis(), what()));
        }
    }

    pub(super) fn broke(&self, promise: &str, text: impl FnOnce() -> String) {
        let mut broken = self.broken.borrow_mut();
        if broken.is_none() {
            *broken = Some(Broken { promise: promise.to_owned(), text: text() });
            drop(broken);
            self.tell(|| format!("BROKEN: {promise}"));
        }
    }

    pub(super) fn broken(&self) -> Option<Broken> {
        self.broken.borrow().clone()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.borrow().is_some()
    }

    /// A reply that has no trouble of its own has waited this long.
    pub(super) fn waited(&self, time: std::time::Duration) {
        self.longest.set(self.longest.get().max(time));
    }

    pub(super) fn longest(&self) -> std::time::Duration {
        self.longest.get()
    }

    /// A line for each thing: seconds since the start, and what happened.
    pub(super) fn timeline(&self) -> String {
        let mut text = String::new();
        for (at, what) in &*self.told.borrow() {
            let _ = writeln!(text, "{:>4}.{:03}  {what}", at / 1000, at % 1000);
        }
        text
    }
}
