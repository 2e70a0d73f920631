//! The two clocks of a worker. Ages and waits go by the steady one, which no operator and no time service sets; the wall
//! clock is for what is shown and for what others wrote down by theirs.

use tokio::time::Instant;

/// Both clocks, in milliseconds since the epoch.
#[derive(Debug)]
pub(crate) struct Clock {
    wall: fn() -> i64,
    began: Instant,
    began_ms: i64,
}

impl Clock {
    pub(crate) fn new(wall: fn() -> i64) -> Self {
        Self { wall, began: Instant::now(), began_ms: wall() }
    }

    /// What the wall clock shows. It may jump, either way.
    pub(crate) fn wall_ms(&self) -> i64 {
        (self.wall)()
    }

    /// What the wall clock would show if nobody had set it since the start: goes forward, at the speed of time.
    pub(crate) fn steady_ms(&self) -> i64 {
        self.began_ms.saturating_add(i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// The present, to hold against what was written down by a wall clock: the earlier of the two, because whatever is taken
    /// for older than it is would be given up, and what is taken for younger only waits.
    pub(crate) fn present_ms(&self) -> i64 {
        self.wall_ms().min(self.steady_ms())
    }

    /// When that was by the steady clock; a moment in the future is now.
    pub(crate) fn steady_of(&self, written_ms: i64) -> i64 {
        self.steady_ms() - self.present_ms().saturating_sub(written_ms).max(0)
    }
}
