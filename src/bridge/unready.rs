//! Reasons to be unready: those of the worker as a whole, and those that stand as long as a record waits because of
//! them. Whatever way a record's wait ends, its reason ends with it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::seams::DomainRef;
use crate::admin::Health;

/// The reasons of one worker.
#[derive(Debug)]
pub(crate) struct Unready {
    health: Arc<Health>,
    worker: usize,
    /// How many records stand behind each reason.
    held: RefCell<HashMap<String, usize>>,
    /// What was said to be behind a reason last.
    causes: RefCell<HashMap<String, String>>,
    /// Reasons that outlive their records.
    lingering: RefCell<HashMap<String, Lingering>>,
    lingers: Notify,
}

/// Reasons of one worker that records stand behind, whether they are in hand still or not. Whoever reads more than these has
/// seen enough, and each that outlives its records may cost a probe.
const MAX_REASONS: usize = 32;

/// Key under which all those beyond are one reason.
const OTHERS: &str = "others";

/// Longest reason and longest key, in bytes: they quote engines, brokers and names that anybody may have chosen.
const MAX_REASON: usize = 2_000;
const MAX_KEY: usize = 200;

#[derive(Clone, Debug)]
struct Lingering {
    until: Instant,
    /// What has to answer for it to end sooner.
    domain: Option<DomainRef>,
}

impl Unready {
    pub(crate) fn new(health: Arc<Health>, worker: usize) -> Self {
        Self {
            health,
            worker,
            held: RefCell::default(),
            causes: RefCell::default(),
            lingering: RefCell::default(),
            lingers: Notify::new(),
        }
    }

    pub(crate) fn raise(&self, key: &str, reason: String) {
        self.health.raise(&self.key(key), shortened(reason, MAX_REASON));
    }

    pub(crate) fn clear(&self, key: &str) {
        self.health.clear(&self.key(key));
    }

    /// Unready for as long as what is returned lives. The first to hold a key gives the reason and says it aloud: for what tells
    /// least of all that may be told under its key. Whoever knows a cause holds because of it.
    pub(crate) fn hold(&self, key: String, reason: impl FnOnce() -> String) -> Held<'_> {
        let mut held = self.held.borrow_mut();
        let mut key = shortened(key, MAX_KEY);
        let mut reason = Some(reason);
        if held.len() >= MAX_REASONS && !held.contains_key(&key) {
            // Said aloud all the same.
            reason.take().into_iter().for_each(|reason| tracing::error!("{}", reason()));
            OTHERS.clone_into(&mut key);
        }
        let count = held.entry(key.clone()).or_default();
        if *count == 0 {
            let reason = reason.map_or_else(
                || "replies wait for more reasons than are shown; the log has them".to_owned(),
                |reason| reason(),
            );
            tracing::error!("{reason}");
            self.raise(&key, reason);
        }
        *count += 1;
        Held { unready: self, key }
    }

    /// Unready for as long as what is returned lives; the first to hold a key says its reason aloud. Tells the reason anew when
    /// another cause is behind it than the last time: each record that waits finds out for itself, and the first one's cause
    /// may be gone long since.
    pub(crate) fn hold_because(&self, key: String, cause: &str, reason: impl Fn() -> String) -> Held<'_> {
        let held = self.hold(key, &reason);
        let before = self.causes.borrow_mut().insert(held.key.clone(), cause.to_owned());
        if held.key != OTHERS && before.is_some_and(|before| before != cause) {
            self.raise(&held.key, reason());
        }
        held
    }

    /// Resolves when there is a reason that outlives its records.
    pub(crate) async fn lingers(&self) {
        while self.lingering.borrow().is_empty() {
            self.lingers.notified().await;
        }
    }

    /// Ends what has lingered long enough, and tells which domains could end more by answering.
    pub(crate) fn lingering(&self) -> Vec<DomainRef> {
        let now = Instant::now();
        self.end_lingering(|lingering| lingering.until <= now);
        let lingering = self.lingering.borrow();
        let mut domains: Vec<DomainRef> = Vec::new();
        for domain in lingering.values().filter_map(|lingering| lingering.domain.as_ref()) {
            if !domains.contains(domain) {
                domains.push(domain.clone());
            }
        }
        domains
    }

    /// This domain answers again.
    pub(crate) fn mended(&self, domain: &DomainRef) {
        self.end_lingering(|lingering| lingering.domain.as_ref() == Some(domain));
    }

    fn end_lingering(&self, mut ends: impl FnMut(&Lingering) -> bool) {
        let ended: Vec<_> = self.lingering.borrow_mut().extract_if(|_, lingering| ends(lingering)).collect();
        for (key, _) in ended {
            drop(Held { unready: self, key });
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{key}/{}", self.worker)
    }
}

/// The beginning of a text that is too long.
fn shortened(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

/// One record's part in a reason.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    unready: &'a Unready,
    key: String,
}

impl Drop for Unready {
    /// A worker that ends takes its reasons along.
    fn drop(&mut self) {
        let lingering = std::mem::take(&mut *self.lingering.borrow_mut());
        lingering.keys().for_each(|key| self.clear(key));
    }
}

impl Held<'_> {
    /// Lets the reason stand until then, or until the domain that is meant answers, after the record is gone.
    pub(crate) fn linger(mut self, until: Instant, domain: Option<DomainRef>) {
        let mut lingering = self.unready.lingering.borrow_mut();
        if let Some(there) = lingering.get_mut(&self.key) {
            there.until = there.until.max(until);
            return;
        }
        if lingering.len() >= MAX_REASONS {
            return;
        }
        lingering.insert(std::mem::take(&mut self.key), Lingering { until, domain });
        self.unready.lingers.notify_one();
        // Its part in the count is the lingering one's now.
        std::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.unready.held.borrow_mut();
        let Some(count) = held.get_mut(&self.key) else { return };
        *count -= 1;
        if *count == 0 {
            held.remove(&self.key);
            self.unready.causes.borrow_mut().remove(&self.key);
            self.unready.clear(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_reason_is_told_anew_when_another_cause_is_behind_it() {
        let health = Arc::new(Health::new());
        let unready = Unready::new(Arc::clone(&health), 0);
        let hold = |cause: &str| unready.hold_because("write/outcomes".to_owned(), cause, || format!("waits: {cause}"));
        let shown = || health.reasons().into_iter().map(|(_, reason)| reason).collect::<Vec<_>>();
        let first = hold("its leader is away");
        let second = hold("its leader is away");
        assert_eq!(shown(), ["waits: its leader is away"]);
        let third = hold("grant WRITE");
        assert_eq!(shown(), ["waits: grant WRITE"]);
        drop((first, third));
        assert_eq!(shown().len(), 1, "one still waits");
        drop(second);
        assert_eq!(shown(), Vec::<String>::new());
    }

    #[test]
    fn what_is_noted_of_causes_ends_with_the_reasons() {
        let unready = Unready::new(Arc::new(Health::new()), 0);
        let key = |number: usize| format!("denied/{number}{}", "x".repeat(2 * MAX_KEY));
        let hold = |number| unready.hold_because(key(number), "no", || "replies wait".to_owned());
        let held: Vec<_> = (0..3 * MAX_REASONS).map(hold).collect();
        assert!(unready.causes.borrow().len() <= MAX_REASONS + 1);
        drop(held);
        assert!(unready.causes.borrow().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_reasons_as_there_may_be_are_prolonged_by_each_reply_that_leaves() {
        let health = Arc::new(Health::new());
        let unready = Unready::new(Arc::clone(&health), 0);
        let leave = |number: usize| {
            let held = unready.hold(format!("inactive/{number}"), || "another cluster answers for it".to_owned());
            held.linger(Instant::now() + Duration::from_secs(60), None);
        };
        (0..MAX_REASONS).for_each(leave);
        tokio::time::advance(Duration::from_secs(50)).await;
        leave(7);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert!(unready.lingering().is_empty());
        let keys: Vec<_> = health.reasons().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["inactive/7/0"], "a reply left 50 s ago");
    }
}
