//! The client's connections to the frontend. Calls take them in turn, because one HTTP/2 connection pins one host; one
//! that has fallen silent is left for a new one.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, TimeoutExpired};

use super::socket::{Connector, Pulse};

/// The connections of one client. They are made by the first calls on them.
#[derive(Debug)]
pub(super) struct Lines {
    endpoint: Endpoint,
    connect_timeout: Duration,
    places: RefCell<Vec<(Channel, Arc<Pulse>)>>,
    turn: Cell<usize>,
}

/// The connection that a call goes over, as it was when the call began.
#[derive(Debug)]
pub(super) struct Line {
    place: usize,
    pulse: Arc<Pulse>,
    heard: u64,
}

impl Lines {
    /// So many connections to an endpoint. Needs a tokio runtime.
    pub(super) fn new(endpoint: Endpoint, connect_timeout: Duration, connections: usize) -> Self {
        let places = (0..connections.max(1)).map(|_| open(&endpoint, connect_timeout)).collect();
        Self { endpoint, connect_timeout, places: RefCell::new(places), turn: Cell::new(0) }
    }

    /// The connection whose turn it is.
    pub(super) fn next(&self) -> (Channel, Line) {
        let places = self.places.borrow();
        let place = self.turn.get().wrapping_add(1) % places.len();
        self.turn.set(place);
        let (channel, pulse) = &places[place];
        (channel.clone(), Line { place, pulse: Arc::clone(pulse), heard: pulse.heard() })
    }

    /// Awaits a call, at most `within`. tonic's own deadline begins when there is a connection and ends with the head of
    /// the answer, and it panics at details that are not base64.
    pub(super) async fn ask<T>(
        &self,
        line: Line,
        within: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Response<T>, Status> {
        match tokio::time::timeout(within, AssertUnwindSafe(call).catch_unwind()).await {
            Ok(Ok(Err(status))) if is_late(&status) => {}
            Ok(Ok(answer)) => return answer,
            Ok(Err(_)) => return Err(Status::unknown("the answer cannot be read")),
            Err(_) => {}
        }
        self.leave_if_silent(&line);
        Err(Status::deadline_exceeded(format!("no answer within {within:?}")))
    }

    /// Takes another connection into the place of one on which nothing at all was heard while a call waited for its
    /// deadline. TCP alone needs a quarter of an hour to notice a peer that is gone, never notices one that is frozen, and
    /// the frontend forbids pings that would. Calls in flight stay where they are and end by their own deadlines.
    fn leave_if_silent(&self, line: &Line) {
        let present = &mut self.places.borrow_mut()[line.place];
        if Arc::ptr_eq(&present.1, &line.pulse) && line.pulse.is_silent_since(line.heard) {
            tracing::info!("a connection to the engine has fallen silent; a new one takes its place");
            *present = open(&self.endpoint, self.connect_timeout);
        }
    }
}

fn open(endpoint: &Endpoint, connect_timeout: Duration) -> (Channel, Arc<Pulse>) {
    let pulse = Arc::<Pulse>::default();
    let connector = Connector::new(connect_timeout, Arc::clone(&pulse));
    (endpoint.connect_with_connector_lazy(connector), pulse)
}

/// tonic's word for a deadline of its own that passed: the same moment as ours, and which of them comes first is chance.
fn is_late(status: &Status) -> bool {
    let causes = std::iter::successors(status.source(), |cause| (**cause).source());
    status.code() == Code::Cancelled && { causes }.any(|cause| cause.is::<TimeoutExpired>())
}
