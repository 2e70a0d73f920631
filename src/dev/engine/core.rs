//! The shared heart of an engine, and how a request is carried out.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Code;

use super::faults::{Effect, Faults, Outage};
use super::method::Calls;
use super::refusal::Refusal;
use super::requests::Request;
use super::state::State;
use super::yarpc::Call;
use crate::cadence::api;

/// What can be chosen when an engine is started.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long the frontend itself repeats what may heal (a cancel that nobody asked for, a state that seems stale)
    /// before it says so. The real server's 30 s by default; tests take less.
    pub patience: Duration,
    /// Largest payload that is stored as it is, in bytes: 2 MiB as in the real server.
    pub max_blob_bytes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { patience: Duration::from_secs(30), max_blob_bytes: 2 << 20 }
    }
}

#[derive(Debug, Default)]
pub(super) struct Core {
    pub(super) options: Options,
    pub(super) faults: Faults,
    pub(super) calls: Calls,
    /// Set where respond and heartbeat calls are answered with OK unread.
    pub(super) sink: Option<Sink>,
    state: Mutex<State>,
}

/// What a sink is asked about a respond or heartbeat call, given its body as received (a gRPC frame): how long to wait
/// before it is answered with OK, or `None` if it is to be answered as by an engine.
type Watch = dyn Fn(&[u8]) -> Option<Duration> + Send + Sync;

pub(super) struct Sink(pub(super) Box<Watch>);

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

/// What becomes of a call's stream.
#[derive(Debug)]
pub(super) enum Outcome {
    Message(Bytes),
    Refused(Refusal),
    Silence,
    Reset,
}

impl Core {
    pub(super) fn new(options: Options, sink: Option<Sink>) -> Core {
        Core { options, sink, ..Core::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a call out, faults included.
    pub(super) async fn serve(&self, call: &Call, message: Bytes) -> Outcome {
        let request = match Request::read(call.method, message) {
            Ok(request) => request,
            Err(fault) => return Outcome::Refused(call.undecodable("proto", &fault.to_string())),
        };
        let effect = self.faults.take(call.method, || request.workflow_id());
        match effect {
            Some(Effect::Refuse(refusal)) => return Outcome::Refused(refusal),
            Some(Effect::Silence) => return Outcome::Silence,
            Some(Effect::Delay(pause)) => tokio::time::sleep(pause).await,
            _ => {}
        }
        let done = timeout_at(call.deadline, self.perform(call, request)).await;
        match (effect, done.unwrap_or_else(|_| Err(Refusal::deadline()))) {
            (Some(Effect::ApplyThenSilence), _) => Outcome::Silence,
            (Some(Effect::ApplyThenReset), _) => Outcome::Reset,
            (_, Ok(message)) => Outcome::Message(message),
            (_, Err(refusal)) => Outcome::Refused(refusal),
        }
    }

    async fn perform(&self, call: &Call, request: Request) -> Result<Bytes, Refusal> {
        Ok(match request {
            Request::Answer(answer) => {
                let cancel_requested = self.respond(call, answer).await?;
                // The answers to the respond calls are empty, and `false` takes no bytes.
                let told =
                    cancel_requested && matches!(call.method, super::Method::Heartbeat | super::Method::HeartbeatById);
                encode(&api::RecordActivityTaskHeartbeatResponse { cancel_requested: told })
            }
            Request::Poll(poll) => encode(&self.poll(call, poll).await?),
            Request::Start(start) => encode(&self.start(call, *start).await?),
            Request::Cancel(cancel) => self.request_cancel(call, cancel).await.map(|()| Bytes::new())?,
            Request::Terminate(terminate) => self.terminate(call, terminate).await.map(|()| Bytes::new())?,
            Request::Describe(describe) => encode(&self.describe(call, describe).await?),
            Request::History(history) => encode(&self.history(call, history).await?),
            Request::Register(register) => {
                self.lock().register(&register.name, register.workflow_execution_retention_period)?;
                Bytes::new()
            }
            Request::DescribeDomain(describe) => encode(&self.describe_domain(describe)?),
            Request::Health => encode(&api::HealthResponse { ok: true, message: "OK".to_owned() }),
        })
    }

    /// Passes while there are history hosts. Without them a call waits for its deadline, or for the frontend to give up.
    pub(super) async fn reach_history(&self, call: &Call) -> Result<(), Refusal> {
        if self.faults.present() != Outage::History || !call.method.needs_history() {
            return Ok(());
        }
        let mut outage = self.faults.watch();
        let give_up = Instant::now() + self.options.patience;
        tokio::select! {
            // The sender lives as long as the engine, so this ends with a change only.
            _ = outage.wait_for(|outage| *outage != Outage::History) => Ok(()),
            () = sleep_until(give_up) => {
                let text = "cadence internal uncategorized error, msg: Not enough hosts to serve the request";
                Err(Refusal::plain(Code::Unknown, text))
            }
        }
    }
}

fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Lets time pass for the workflows: fires timers as they become due.
pub(super) async fn keep_time(core: Arc<Core>) {
    let sooner = Arc::clone(&core.lock().agenda.sooner);
    loop {
        let next = core.lock().tick(Instant::now());
        match next {
            Some(next) => tokio::select! {
                () = sleep_until(next) => {}
                () = sooner.notified() => {}
            },
            None => sooner.notified().await,
        }
    }
}
