//! What a worker notes of a record for the sake of others: order, repeats, floods, metrics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::bridge::work::Work;

/// Takes note of something. A panic in it ends here: the record's fate does not hang on it. What is written of the record
/// is true, so a second outcome must not contradict it, and what panicked must not panic again where the panics of records are
/// dealt with.
pub(super) fn take_note(work: &Work, note: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(note)).is_err() {
        missed(work);
    }
}

#[cold]
fn missed(work: &Work) {
    tracing::error!(
        record = %work.record.origin,
        "taking note of this record panicked; its outcome stands, and nothing needs to be done for it. Please report this with the process log"
    );
}
