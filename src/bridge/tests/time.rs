//! The clocks of a test.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use super::books::WRITTEN_AT;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static SET_BY: Cell<i64> = const { Cell::new(0) };
}

/// A test begins: both clocks are right.
pub(super) fn begin() {
    BEGAN.set(Some(Instant::now()));
    SET_BY.set(0);
}

/// The wall clock goes as virtual time does, from wherever it was set to.
pub(super) fn wall_clock() -> i64 {
    let began = BEGAN.get().expect("the test has begun");
    WRITTEN_AT + i64::try_from(began.elapsed().as_millis()).unwrap() + SET_BY.get()
}

/// Somebody sets the wall clock, by so many seconds.
pub(super) fn set_wall_clock_by(seconds: i64) {
    SET_BY.set(SET_BY.get() + seconds * 1000);
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
