//! Which activities were told that their workflow wants them to stop: an outcome says so once.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};

/// Activities remembered. Forgetting one costs a repeated outcome.
const MAX_TOLD: usize = 4096;

/// The activities that were told, by lane.
#[derive(Debug, Default)]
pub(crate) struct News(RefCell<(HashSet<u64>, VecDeque<u64>)>);

impl News {
    /// Whether nobody was told yet that the workflow wants the activity of this lane to stop.
    pub(crate) fn is_news(&self, lane: u64) -> bool {
        let (known, order) = &mut *self.0.borrow_mut();
        if !known.insert(lane) {
            return false;
        }
        order.push_back(lane);
        if order.len() > MAX_TOLD
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
        true
    }

    /// What was said of this lane never became durable.
    pub(crate) fn is_news_again(&self, lane: u64) {
        self.0.borrow_mut().0.remove(&lane);
    }
}
