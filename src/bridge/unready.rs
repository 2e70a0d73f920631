//! Reasons to be unready: those of the worker as a whole, and those that stand as long as a record waits because of
//! them. Whatever way a record's wait ends, its reason ends with it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::admin::Health;

/// The reasons of one worker.
#[derive(Debug)]
pub(crate) struct Unready {
    health: Arc<Health>,
    worker: usize,
    /// How many records stand behind each reason.
    held: RefCell<HashMap<String, usize>>,
}

impl Unready {
    pub(crate) fn new(health: Arc<Health>, worker: usize) -> Self {
        Self { health, worker, held: RefCell::default() }
    }

    pub(crate) fn raise(&self, key: &str, reason: String) {
        self.health.raise(&self.key(key), reason);
    }

    pub(crate) fn clear(&self, key: &str) {
        self.health.clear(&self.key(key));
    }

    /// Unready for as long as what is returned lives. The first to hold a key gives the reason and says it aloud.
    pub(crate) fn hold(&self, key: String, reason: impl FnOnce() -> String) -> Held<'_> {
        let mut held = self.held.borrow_mut();
        let count = held.entry(key.clone()).or_default();
        if *count == 0 {
            let reason = reason();
            tracing::error!("{reason}");
            self.raise(&key, reason);
        }
        *count += 1;
        Held { unready: self, key }
    }

    fn key(&self, key: &str) -> String {
        format!("{key}/{}", self.worker)
    }
}

/// One record's part in a reason.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    unready: &'a Unready,
    key: String,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.unready.held.borrow_mut();
        let Some(count) = held.get_mut(&self.key) else { return };
        *count -= 1;
        if *count == 0 {
            held.remove(&self.key);
            self.unready.clear(&self.key);
        }
    }
}
