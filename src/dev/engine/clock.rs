//! The wall clock of the engine: what it writes into events. Timers go by tokio's clock, which tests can pause.

use std::time::SystemTime;

#[expect(clippy::disallowed_methods, reason = "events carry wall-clock times; nothing is decided by them")]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}
