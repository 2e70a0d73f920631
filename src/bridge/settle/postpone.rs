//! How a reply leaves for a retry topic, and what becomes of one that the topic does not take.

use super::bookkeeping::take_note;
use super::record;
use crate::bridge::core::Core;
use crate::bridge::records::Unwritten;
use crate::bridge::seams::{Engine, Log};
use crate::bridge::tiers::Cause;
use crate::bridge::windows::Slot;
use crate::bridge::work::{Conclusion, Fate, Work};
use crate::wire::TOO_LARGE_TO_WAIT;

/// Hands a record on to a retry topic. It is settled here once all in-sync replicas have it there.
pub(super) async fn postpone<E: Engine, L: Log>(
    core: &Core<E, L>,
    work: &Work,
    mut slot: Slot,
    tier: usize,
    cause: Cause,
    ending: Conclusion,
) -> Fate {
    core.weigh_delay(work, cause, &ending).await;
    slot.start_recording();
    match core.write_if_it_fits(work, || core.retry_record(work, tier, cause, &ending)).await {
        Ok(()) => {}
        Err(Unwritten::Gone) => return Fate::Abandoned,
        Err(Unwritten::TooLarge(text)) => return record(core, work, too_large_to_wait(work, ending, &text)).await,
    }
    take_note(work, || core.has_left(work, tier, cause));
    core.metrics.postponed(cause.as_str());
    tracing::debug!(record = %work.record.origin, topic = %core.options.tiers[tier].topic, cause = cause.as_str(), "waits on a retry topic");
    Fate::Settled
}

/// It would wait, and the retry topic does not take it: one record must not hold its partition until somebody changes the
/// topic. It can be replayed then.
fn too_large_to_wait(work: &Work, ending: Conclusion, text: &str) -> Conclusion {
    let detail = format!("{}; it could not wait on a retry topic: {text}", ending.detail.unwrap_or_default());
    tracing::warn!(record = %work.record.origin, detail, "becomes a dead letter");
    Conclusion {
        reason: Some(TOO_LARGE_TO_WAIT),
        attempts: ending.attempts.saturating_add(work.earlier),
        engine_status: ending.engine_status,
        ..Conclusion::exhausted(detail)
    }
}
