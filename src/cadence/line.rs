//! The client's connections to the frontend. Calls take them in turn, because one HTTP/2 connection pins one host; one
//! that has fallen silent or grown old is left for a new one.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, TimeoutExpired};

use super::socket::{Connector, Pulse};

/// A connection is followed by another one after half of this to all of it, so that frontends that were added get their
/// share and a name that leads elsewhere by now is followed. A handshake in five minutes is nothing.
pub(super) const LIFE: Duration = Duration::from_secs(10 * 60);

/// The connections of one client. They are made by the first calls on them.
#[derive(Debug)]
pub(super) struct Lines {
    maker: Maker,
    places: RefCell<Vec<Place>>,
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
    /// So many connections to an endpoint, each for about `life`. Needs a tokio runtime.
    pub(super) fn new(endpoint: Endpoint, connect_timeout: Duration, life: Duration, connections: usize) -> Self {
        let maker = Maker { endpoint, connect_timeout, life };
        let places = (0..connections.max(1)).map(|_| maker.lazy()).collect();
        Self { maker, places: RefCell::new(places), turn: Cell::new(0) }
    }

    /// The connection whose turn it is.
    pub(super) fn next(&self) -> (Channel, Line) {
        let mut places = self.places.borrow_mut();
        let turn = self.turn.get().wrapping_add(1) % places.len();
        self.turn.set(turn);
        let place = &mut places[turn];
        if Instant::now() >= place.until {
            place.renew(&self.maker);
        }
        (place.channel.clone(), Line { place: turn, pulse: Arc::clone(&place.pulse), heard: place.pulse.heard() })
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
        if Arc::ptr_eq(&present.pulse, &line.pulse) && line.pulse.is_silent_since(line.heard) {
            tracing::info!("a connection to the engine has fallen silent; a new one takes its place");
            *present = self.maker.lazy();
        }
    }
}

/// A connection that is being made.
type Successor = (Arc<Pulse>, JoinHandle<Result<Channel, tonic::transport::Error>>);

/// A connection in use.
#[derive(Debug)]
struct Place {
    channel: Channel,
    pulse: Arc<Pulse>,
    until: Instant,
    /// The one that follows it, while it is being made.
    successor: Option<Successor>,
}

impl Place {
    /// Goes on with a new connection once there is one: a good one is not given up for one that cannot be made.
    fn renew(&mut self, maker: &Maker) {
        let Some((pulse, made)) = &mut self.successor else {
            self.successor = Some(maker.eager());
            return;
        };
        match made.now_or_never() {
            None => {}
            Some(Ok(Ok(channel))) => *self = maker.place(channel, Arc::clone(pulse)),
            Some(Ok(Err(_)) | Err(_)) => {
                self.successor = None;
                self.until = maker.until();
            }
        }
    }
}

/// Makes connections.
#[derive(Debug)]
struct Maker {
    endpoint: Endpoint,
    connect_timeout: Duration,
    life: Duration,
}

impl Maker {
    /// One that is made by the first call on it.
    fn lazy(&self) -> Place {
        let pulse = Arc::<Pulse>::default();
        let connector = Connector::new(self.connect_timeout, Arc::clone(&pulse));
        self.place(self.endpoint.connect_with_connector_lazy(connector), pulse)
    }

    /// One that is being made already.
    fn eager(&self) -> Successor {
        let pulse = Arc::<Pulse>::default();
        let connector = Connector::new(self.connect_timeout, Arc::clone(&pulse));
        let endpoint = self.endpoint.clone();
        (pulse, tokio::spawn(async move { endpoint.connect_with_connector(connector).await }))
    }

    fn place(&self, channel: Channel, pulse: Arc<Pulse>) -> Place {
        Place { channel, pulse, until: self.until(), successor: None }
    }

    /// Connections that began together must not all end together.
    fn until(&self) -> Instant {
        Instant::now() + self.life.mul_f64(1.0 - 0.5 * fastrand::f64())
    }
}

/// tonic's word for a deadline of its own that passed: the same moment as ours, and which of them comes first is chance.
fn is_late(status: &Status) -> bool {
    let causes = std::iter::successors(status.source(), |cause| (**cause).source());
    status.code() == Code::Cancelled && { causes }.any(|cause| cause.is::<TimeoutExpired>())
}
