//! Memory stays within a bound that depends on the size of the input alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Room for what does not depend on the input: a refusal, its detail, a few short names.
const ALWAYS: usize = 4 * 1024;

/// Does `work` on an input of `size` bytes and checks that this thread never held more than `times` that size beside what
/// it held before.
///
/// The counter takes a buffer that grows for two, the old one and the new one.
#[track_caller]
pub(crate) fn measured<T>(size: usize, times: usize, work: impl FnOnce() -> T) -> T {
    let mut done = None;
    // A panic must not pass the counter, which would go on counting.
    let counted = allocation_counter::measure(|| done = Some(catch_unwind(AssertUnwindSafe(work))));
    let done = match done {
        Some(Ok(done)) => done,
        Some(Err(panic)) => resume_unwind(panic),
        None => unreachable!("the work was done"),
    };
    let (peak, bound) = (counted.bytes_max, (size * times + ALWAYS) as u64);
    assert!(peak <= bound, "{peak} bytes for an input of {size}; {times} times that and {ALWAYS} are allowed: {bound}");
    done
}
