//! When one activity's request is given up.

use std::future::Future;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Shortly before the deadline, or when the process cannot wait any longer.
pub(super) struct GivingUp<'a> {
    pub(super) at: Option<Instant>,
    pub(super) hurry: &'a CancellationToken,
}

impl GivingUp<'_> {
    /// What comes of `work`, unless it is too late for it: then `None`. What is too late is not begun.
    pub(super) async fn unless_due<F: Future>(&self, work: F) -> Option<F::Output> {
        if self.hurry.is_cancelled() || self.at.is_some_and(|at| at <= Instant::now()) {
            return None;
        }
        tokio::select! {
            biased;
            output = work => Some(output),
            () = self.due() => None,
        }
    }

    async fn due(&self) {
        match self.at {
            Some(at) => {
                self.hurry.run_until_cancelled(sleep_until(at)).await;
            }
            None => self.hurry.cancelled().await,
        }
    }
}
