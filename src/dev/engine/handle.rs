//! The handle of a running engine.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::books::{self, Books};
use super::core::{Core, Options, Sink, keep_time};
use super::faults::Faults;
use super::method::Method;
use super::plan::Plan;
use super::refusal::Refusal;
use super::run::Start;
use super::serve::accept;
use crate::cadence::api::{PollForActivityTaskResponse, WorkflowIdReusePolicy as Reuse};

/// A running engine. It stops when the handle is dropped.
#[derive(Debug)]
pub struct Engine {
    core: Arc<Core>,
    address: SocketAddr,
    stop: CancellationToken,
    server: Option<JoinHandle<()>>,
    clock: JoinHandle<()>,
}

/// An attempt that was handed out.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its task token.
    pub token: Bytes,
    /// Workflow id.
    pub workflow_id: String,
    /// Run id.
    pub run_id: String,
    /// Activity id.
    pub activity_id: String,
    /// Activity type.
    pub activity_type: String,
    /// Arguments, one JSON value per line.
    pub input: Option<Bytes>,
    /// Number of the attempt, from 0.
    pub attempt: i32,
}

impl Engine {
    /// Serves `listener` on the present runtime, with the behaviour of the real server.
    ///
    /// # Errors
    /// If the listener has no local address.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(listener: TcpListener) -> io::Result<Engine> {
        Engine::with(listener, Options::default())
    }

    /// As [`Engine::start`], with other options.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn with(listener: TcpListener, options: Options) -> io::Result<Engine> {
        Engine::serve(listener, Core::new(options, None))
    }

    /// An engine that answers every respond and heartbeat call with OK without reading it: a load sink for benches.
    /// Everything else is answered as usual.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn sink(listener: TcpListener) -> io::Result<Engine> {
        Engine::watched_sink(listener, |_| Some(Duration::ZERO))
    }

    /// As [`Engine::sink`], asking `watch` about each respond or heartbeat call. It is given the body as received (five
    /// bytes of gRPC frame, then the message) and says how long to wait before the call is answered, or `None` if it
    /// is to be answered as by an engine. A wait is rounded up to whole milliseconds.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn watched_sink(
        listener: TcpListener,
        watch: impl Fn(&[u8]) -> Option<Duration> + Send + Sync + 'static,
    ) -> io::Result<Engine> {
        Engine::serve(listener, Core::new(Options::default(), Some(Sink(Box::new(watch)))))
    }

    fn serve(listener: TcpListener, core: Core) -> io::Result<Engine> {
        let address = listener.local_addr()?;
        let core = Arc::new(core);
        let stop = CancellationToken::new();
        let server = tokio::spawn(accept(listener, Arc::clone(&core), stop.clone()));
        let clock = tokio::spawn(keep_time(Arc::clone(&core)));
        Ok(Engine { core, address, stop, server: Some(server), clock })
    }

    /// Where the engine listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as a setting: `http://127.0.0.1:7833`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The script of faults.
    pub fn faults(&self) -> &Faults {
        &self.core.faults
    }

    /// A snapshot of everything.
    pub fn books(&self) -> Books {
        books::read(&self.core)
    }

    /// How often a method was called; cheaper than [`Engine::books`].
    pub fn calls(&self, method: Method) -> u64 {
        self.core.calls.snapshot()[method as usize]
    }

    /// Registers a domain, if it is not registered yet, and returns its id.
    ///
    /// # Errors
    /// If the name is none.
    pub fn register_domain(&self, name: &str) -> Result<String, Refusal> {
        let mut state = self.core.lock();
        match state.domain_named(name) {
            Ok(domain) => Ok(state.domains[domain].id.to_string()),
            Err(_) => state.register(name, None).map(|id| id.to_string()),
        }
    }

    /// Starts a workflow that may take a day, without a call over the network. Returns its run id.
    ///
    /// # Errors
    /// If the domain is not registered or the workflow id is in use.
    pub fn start_workflow(
        &self,
        domain: &str,
        workflow_id: &str,
        task_list: &str,
        plan: Plan,
    ) -> Result<String, Refusal> {
        let mut state = self.core.lock();
        let domain = state.domain_named(domain)?;
        let start = Start {
            workflow_id: workflow_id.to_owned(),
            workflow_type: "plan".to_owned(),
            task_list: task_list.to_owned(),
            input: plan.to_input(),
            plan,
            timeout_seconds: 86_400,
            identity: "handback-dev".to_owned(),
            request_id: Uuid::new_v4().to_string(),
        };
        state.start(domain, start, Reuse::AllowDuplicate).map(|run_id| run_id.to_string())
    }

    /// Takes the next attempt that waits on a task list, as a worker would, without waiting for one.
    ///
    /// # Errors
    /// If the domain is not registered.
    pub fn take(&self, domain: &str, task_list: &str, worker: &str) -> Result<Option<Attempt>, Refusal> {
        let mut state = self.core.lock();
        let domain = state.domain_named(domain)?;
        Ok(state.take(domain, task_list, worker).map(Attempt::from))
    }

    /// Lets the workflow ask one activity to stop, as workflow code would; the calls can only cancel whole workflows.
    /// `false` if the activity is not open.
    ///
    /// # Errors
    /// If there is no such domain or workflow.
    pub fn request_activity_cancel(&self, domain: &str, workflow_id: &str, activity_id: &str) -> Result<bool, Refusal> {
        let mut state = self.core.lock();
        let domain = state.domain_named(domain)?;
        let run = state.run(domain, workflow_id, "")?;
        Ok(state.runs[run].request_activity_cancel(activity_id))
    }

    /// Completes a workflow as it is, open activities or not. `false` if it is closed already.
    ///
    /// # Errors
    /// If there is no such domain or workflow.
    pub fn complete_workflow(&self, domain: &str, workflow_id: &str) -> Result<bool, Refusal> {
        let mut state = self.core.lock();
        let domain = state.domain_named(domain)?;
        let run = state.run(domain, workflow_id, "")?;
        Ok(state.runs[run].complete())
    }

    /// Closes the listener and all connections.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            // Connections end at once; the bound only keeps a fault of the engine from hanging its caller.
            let _ = tokio::time::timeout(Duration::from_secs(5), server).await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.cancel();
        self.clock.abort();
    }
}

impl From<PollForActivityTaskResponse> for Attempt {
    fn from(task: PollForActivityTaskResponse) -> Attempt {
        let of = task.workflow_execution.unwrap_or_default();
        Attempt {
            token: task.task_token,
            workflow_id: of.workflow_id,
            run_id: of.run_id,
            activity_id: task.activity_id,
            activity_type: task.activity_type.unwrap_or_default().name,
            input: task.input.map(|payload| payload.data),
            attempt: task.attempt,
        }
    }
}
