//! Questions whose answer is not to be had yet: a leader is not known just after a topic was made or a broker went.

use std::time::Duration;

use tokio::time::Instant;

use crate::bridge::seams::ReadBack;

/// Wait between two tries. An election takes seconds.
const PAUSE: Duration = Duration::from_millis(500);

/// A question, and since when it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) ask: ReadBack,
    pub(super) since: Instant,
}

/// Questions that are tried again.
#[derive(Debug, Default)]
pub(super) struct Later(Vec<(Asked, Instant)>);

impl Later {
    pub(super) fn put(&mut self, asked: Asked, now: Instant) {
        self.0.push((asked, now + PAUSE));
    }

    /// Those to be tried now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Asked> {
        self.0.extract_if(.., |(_, at)| *at <= now).map(|(asked, _)| asked).collect()
    }

    /// The partition was asked about anew.
    pub(super) fn forget(&mut self, partition: i32) {
        self.0.retain(|(asked, _)| asked.ask.partition != partition);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
