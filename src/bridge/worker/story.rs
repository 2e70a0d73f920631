//! One record's way through decoding and its story, with its panics caught: a record cannot hurt the others.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures_util::FutureExt;

use crate::bridge::core::Core;
use crate::bridge::seams::{Engine, Log};
use crate::bridge::settle::{UNFORESEEN, settle, settle_panicked};
use crate::bridge::windows::Slot;
use crate::bridge::work::{Fate, Work};
use crate::wire::{self, Limits, Record, Refusal, RefusalCode, Reply};

/// One record's story, panics included.
pub(super) async fn story<E: Engine, L: Log>(core: Rc<Core<E, L>>, work: Rc<Work>, slot: Slot) -> (Rc<Work>, Fate) {
    let settled = AssertUnwindSafe(settle(&core, &work, slot)).catch_unwind().await;
    let fate = match settled {
        Ok(fate) => fate,
        Err(_) => match Box::pin(AssertUnwindSafe(settle_panicked(&core, &work)).catch_unwind()).await {
            Ok(fate) => fate,
            Err(_) => {
                core.die(format!("recording that {} could not be handled failed too", work.record.origin));
                Fate::Abandoned
            }
        },
    };
    (work, fate)
}

/// Decodes a reply, panics included.
pub(super) fn decode(record: &Record, limits: &Limits) -> Result<Reply, Box<Refusal>> {
    std::panic::catch_unwind(AssertUnwindSafe(|| wire::decode(record, limits)))
        .unwrap_or_else(|_| Err(Box::new(Refusal::new(RefusalCode::InternalError, UNFORESEEN))))
}
