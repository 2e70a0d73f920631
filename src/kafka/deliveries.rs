//! Who waits for which delivery. A slab of places instead of a channel for each record: the client carries a place's
//! number along with the record, and nothing is allocated for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rdkafka::error::KafkaError;
use slab::Slab;

/// What became of a record: all in-sync replicas have it, or why not.
pub(super) type Delivered = Result<(), Undelivered>;

/// Why a record was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Undelivered {
    /// What client or broker say.
    pub(super) error: KafkaError,
    /// Bytes of its key and value.
    pub(super) bytes: usize,
    /// Whether others may have been in a batch with it: their size counts as well then.
    pub(super) batched: bool,
}

/// The places of one producer.
#[derive(Debug, Default)]
pub(super) struct Deliveries(Mutex<Slab<Place>>);

#[derive(Debug)]
enum Place {
    Awaited(Option<Waker>),
    /// Nobody waits any more; the place is free once the delivery was told.
    Abandoned,
    Told(Delivered),
}

impl Deliveries {
    /// Takes a place for a record that is about to be sent.
    pub(super) fn open(&self) -> Delivery<'_> {
        let place = self.places().insert(Place::Awaited(None));
        Delivery { deliveries: self, place, sent: false }
    }

    /// Tells whoever waits at `place`. Called by whichever thread polls the client, once for each record that it took.
    pub(super) fn tell(&self, place: usize, delivered: Delivered) {
        let waker = {
            let mut places = self.places();
            match places.get_mut(place) {
                Some(Place::Awaited(waker)) => {
                    let waker = waker.take();
                    places[place] = Place::Told(delivered);
                    waker
                }
                Some(Place::Abandoned) => {
                    places.remove(place);
                    None
                }
                Some(Place::Told(_)) | None => None,
            }
        };
        // Outside the lock, which the woken one takes next.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn places(&self) -> MutexGuard<'_, Slab<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when the client has told what became of the record. Dropping it does not call the record back.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    deliveries: &'a Deliveries,
    place: usize,
    /// Whether the client took the record: only then will it tell, and free an abandoned place.
    sent: bool,
}

impl Delivery<'_> {
    /// The number that goes along with the record.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// The client took the record.
    pub(super) fn sent(&mut self) {
        self.sent = true;
    }
}

impl Future for Delivery<'_> {
    type Output = Delivered;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Delivered> {
        match &mut self.deliveries.places()[self.place] {
            Place::Told(delivered) => Poll::Ready(delivered.clone()),
            Place::Awaited(Some(waker)) if waker.will_wake(context.waker()) => Poll::Pending,
            place => {
                *place = Place::Awaited(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        let mut places = self.deliveries.places();
        if self.sent && matches!(places[self.place], Place::Awaited(_)) {
            places[self.place] = Place::Abandoned;
        } else {
            places.remove(self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    #[test]
    fn each_waiter_hears_of_its_own_record() {
        let deliveries = Deliveries::default();
        let (mut first, mut second) = (deliveries.open(), deliveries.open());
        first.sent();
        second.sent();
        assert!((&mut first).now_or_never().is_none(), "nothing was told yet");
        let error = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
        let fault = Undelivered { error, bytes: 1, batched: false };
        deliveries.tell(second.place(), Err(fault.clone()));
        assert_eq!(second.now_or_never(), Some(Err(fault)));
        deliveries.tell(first.place(), Ok(()));
        assert_eq!(first.now_or_never(), Some(Ok(())), "also when it was told before it was asked again");
    }

    #[test]
    fn a_place_is_free_only_when_the_client_is_through_with_it() {
        let deliveries = Deliveries::default();
        drop(deliveries.open());
        assert!(deliveries.places().is_empty(), "never sent");
        let mut delivery = deliveries.open();
        delivery.sent();
        let place = delivery.place();
        drop(delivery);
        assert_eq!(deliveries.places().len(), 1, "the next record must not hear of this one's delivery");
        deliveries.tell(place, Ok(()));
        assert!(deliveries.places().is_empty());
    }
}
