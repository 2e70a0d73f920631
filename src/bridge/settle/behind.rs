//! Replies whose earlier ones have left for a retry topic: they go the same way, so that the order of one attempt's replies
//! holds.

use super::postpone::postpone;
use crate::bridge::core::Core;
use crate::bridge::postponed::Ahead;
use crate::bridge::repeats::Repeat;
use crate::bridge::seams::{Engine, Log};
use crate::bridge::windows::Slot;
use crate::bridge::work::{Fate, Work};
use crate::wire::{LedgerEntry, Reply};

/// The earlier reply that a reply has to wait for, if there is one.
pub(super) fn behind<E: Engine, L: Log>(
    core: &Core<E, L>,
    work: &Work,
    reply: &Reply,
    entry: Option<&LedgerEntry>,
) -> Option<Ahead> {
    let ahead = core.ahead_of(work, reply)?;
    // What the ledger knows needs nobody's turn.
    matches!(core.repeat(work, entry), Repeat::Unknown).then_some(ahead)
}

/// Hands a reply on to where the earlier one waits. Also while the engine is unwell: that is not what it leaves for.
pub(super) async fn follow<E: Engine, L: Log>(
    core: &Core<E, L>,
    work: &Work,
    slot: Slot,
    reply: &Reply,
    ahead: Ahead,
) -> Fate {
    let (cause, ending) = core.following(reply, ahead);
    postpone(core, work, slot, ahead.tier, cause, ending).await
}
