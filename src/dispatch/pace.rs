//! The limit of activities a second: polls begin one after the other, never faster than that.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Turns at even distances.
pub(super) struct Pace {
    distance: Option<Duration>,
    next: Cell<Instant>,
}

impl Pace {
    /// This many turns a second; 0 is no limit.
    pub(super) fn new(per_second: u32) -> Self {
        let distance = (per_second > 0).then(|| Duration::from_secs(1) / per_second);
        Self { distance, next: Cell::new(Instant::now()) }
    }

    /// Waits for the next turn. Turns that nobody took are not saved up.
    pub(super) async fn turn(&self) {
        let Some(distance) = self.distance else { return };
        let at = self.next.get().max(Instant::now());
        self.next.set(at + distance);
        sleep_until(at).await;
    }
}
