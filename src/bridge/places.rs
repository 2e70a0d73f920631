//! A bounded number of places, taken and given back within one task: a semaphore without atomics and locks, because each
//! record takes two.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// The places of one window. Whoever waits for one goes before whoever only tries.
#[derive(Debug)]
pub(crate) struct Places {
    free: Cell<usize>,
    waiting: Cell<usize>,
    given_back: Notify,
}

impl Places {
    pub(crate) fn new(free: usize) -> Rc<Self> {
        Rc::new(Self { free: Cell::new(free), waiting: Cell::new(0), given_back: Notify::new() })
    }

    /// A place, if more are free than are waited for.
    pub(crate) fn try_take(self: &Rc<Self>) -> Option<Place> {
        if self.free.get() > self.waiting.get() { self.take_free() } else { None }
    }

    /// A place, in the order of asking. Cancel safe.
    pub(crate) async fn take(self: &Rc<Self>) -> Place {
        if let Some(place) = self.try_take() {
            return place;
        }
        let _waiting = Waiting::begin(self);
        loop {
            // One call for each place given back, kept until it is heard, and handed on by a waiter that gives up.
            self.given_back.notified().await;
            if let Some(place) = self.take_free() {
                return place;
            }
        }
    }

    fn take_free(self: &Rc<Self>) -> Option<Place> {
        self.free.set(self.free.get().checked_sub(1)?);
        Some(Place(Rc::clone(self)))
    }
}

/// A place that is taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Rc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        let places = &self.0;
        places.free.set(places.free.get() + 1);
        if places.waiting.get() > 0 {
            places.given_back.notify_one();
        }
    }
}

struct Waiting<'a>(&'a Places);

impl<'a> Waiting<'a> {
    fn begin(places: &'a Places) -> Self {
        places.waiting.set(places.waiting.get() + 1);
        Self(places)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_waits_goes_before_who_only_tries() {
        let places = Places::new(1);
        let first = places.try_take().expect("free");
        let mut waiting = pin!(places.take());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(places.try_take().is_none(), "it is the waiter's");
        let second = waiting.now_or_never().expect("free");
        assert!(places.try_take().is_none(), "taken");
        drop(second);
        assert!(places.try_take().is_some());
    }

    #[test]
    fn who_waits_for_one_leaves_the_others_free() {
        let places = Places::new(2);
        let taken = (places.try_take().expect("free"), places.try_take().expect("free"));
        let mut waiting = pin!(places.take());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(taken);
        let other = places.try_take();
        assert!(other.is_some(), "two are free, one is waited for");
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn a_waiter_that_gives_up_hands_its_turn_on() {
        let places = Places::new(1);
        let first = places.try_take().expect("free");
        let mut gives_up = Box::pin(places.take());
        let mut stays = pin!(places.take());
        assert!(gives_up.as_mut().now_or_never().is_none());
        assert!(stays.as_mut().now_or_never().is_none());
        drop(first);
        drop(gives_up);
        assert!(stays.now_or_never().is_some());
    }

    proptest! {
        /// Never more are taken than there are, none is lost, and no waiter sleeps while a place is free.
        #[test]
        fn places_are_neither_made_nor_lost(
            count in 1usize..4,
            steps in proptest::collection::vec((0u8..4, any::<prop::sample::Index>()), 1..100),
        ) {
            let places = Places::new(count);
            let mut taken = Vec::new();
            let mut waiting = Vec::new();
            for (step, index) in steps {
                match step {
                    0 => taken.extend(places.try_take()),
                    1 => waiting.push(Box::pin({ let places = Rc::clone(&places); async move { places.take().await } })),
                    2 if !taken.is_empty() => drop(taken.swap_remove(index.index(taken.len()))),
                    3 if !waiting.is_empty() => drop(waiting.swap_remove(index.index(waiting.len()))),
                    _ => {}
                }
                // As the task would be polled: everybody, until nothing moves.
                waiting.retain_mut(|waiter| match waiter.as_mut().now_or_never() {
                    Some(place) => { taken.push(place); false }
                    None => true,
                });
                prop_assert!(taken.len() <= count);
                prop_assert_eq!(places.free.get(), count - taken.len());
                prop_assert!(waiting.is_empty() || taken.len() == count, "a waiter sleeps beside a free place");
            }
        }
    }
}
