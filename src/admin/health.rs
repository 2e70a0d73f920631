//! Whether this process is ready, and if not, why.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The reasons why the process is not ready, each under a key of whoever raised it. No reasons: ready.
///
/// Raising what is raised already, and clearing what is clear, changes and logs nothing.
#[derive(Debug, Default)]
pub struct Health {
    reasons: Mutex<BTreeMap<String, String>>,
    /// Number of reasons, so that the usual case of none needs no lock.
    raised: AtomicUsize,
}

impl Health {
    /// Ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Unready because of `reason`, which replaces an earlier one of the same `key`. The text is for operators: it says
    /// what is wrong and what to do.
    pub fn raise(&self, key: &str, reason: impl Into<String>) {
        let reason = reason.into();
        let mut reasons = self.lock();
        if reasons.get(key) == Some(&reason) {
            return;
        }
        tracing::warn!(key, reason, "not ready");
        reasons.insert(key.to_owned(), reason);
        self.raised.store(reasons.len(), Ordering::Release);
    }

    /// The reason of this `key` is gone.
    pub fn clear(&self, key: &str) {
        if self.is_ready() {
            return;
        }
        let mut reasons = self.lock();
        if reasons.remove(key).is_some() {
            tracing::info!(key, "reason gone");
            self.raised.store(reasons.len(), Ordering::Release);
        }
    }

    /// Key and text of each reason, by key.
    #[must_use]
    pub fn reasons(&self) -> Vec<(String, String)> {
        self.lock().iter().map(|(key, reason)| (key.clone(), reason.clone())).collect()
    }

    /// Whether there is no reason against it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.raised.load(Ordering::Acquire) == 0
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        // A panic between two statements above leaves a map that is still right.
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Health;

    #[test]
    fn ready_until_a_reason_is_raised_and_again_once_all_are_gone() {
        let health = Health::new();
        assert!(health.is_ready());
        health.raise("engine", "engine does not answer");
        health.raise("kafka", "credentials refused");
        health.raise("engine", "engine answers UNKNOWN");
        assert!(!health.is_ready());
        let reasons = health.reasons();
        assert_eq!(reasons.len(), 2);
        assert_eq!(reasons[0], ("engine".to_owned(), "engine answers UNKNOWN".to_owned()));
        health.clear("engine");
        health.clear("engine");
        assert!(!health.is_ready());
        health.clear("kafka");
        assert!(health.is_ready());
    }
}
