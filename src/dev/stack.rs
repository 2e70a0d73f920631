//! Broker, engine and bridge in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::broker::{Broker, BrokerError};
use super::clients;
use super::engine::{Engine, Refusal};
use crate::config::{GroupProtocol, Route, Settings};
use crate::exit::Exit;
use crate::run::{self, Ended};

/// Partitions of every topic: enough to see that order holds within one only.
pub(super) const PARTITIONS: i32 = 4;

/// Why the stack did not start.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The engine's port.
    #[error("cannot start the embedded engine: {0}")]
    Engine(#[from] std::io::Error),
    /// A domain of the routes.
    #[error("the embedded engine refuses a domain: {0:?}")]
    Domain(Refusal),
}

/// Everything that has to run so that a reply finishes an activity.
pub(crate) struct Stack {
    pub(crate) settings: Settings,
    pub(crate) engine: Engine,
    bridge: JoinHandle<Ended>,
    /// Set once the bridge has ended by itself.
    ended: Option<Ended>,
    stop: DropGuard,
    /// Last, since everything else talks to it until its own end.
    _broker: Broker,
}

impl Stack {
    /// Starts it. With `usual_ports` the engine and the admin server take the ports that they have in every example, if
    /// those are free. With `routes` their domains are registered, and the process dispatches them too.
    pub(crate) async fn start(usual_ports: bool, routes: Vec<Route>) -> Result<Self, StackError> {
        let usual = Settings::default();
        let topics = [&usual.topics.requests, &usual.topics.outcomes, &usual.topics.dead_letters]
            .into_iter()
            .chain(&usual.topics.replies)
            .chain(&usual.topics.retry)
            .map(|topic| (topic.clone(), PARTITIONS));
        let broker = Broker::start(&topics.collect::<Vec<_>>())?;
        let engine = Engine::start(listener(7833, usual_ports).await?)?;
        let mut settings = settings(broker.bootstrap_servers(), &engine.endpoint());
        if usual_ports {
            // The server binds it again in a moment; whoever takes it meanwhile makes the bridge end with a clear error.
            settings.admin.listen = Some(listener(9464, true).await?.local_addr()?);
        }
        for route in &routes {
            engine.register_domain(&route.domain).map_err(StackError::Domain)?;
        }
        settings.dispatch.enabled = !routes.is_empty();
        settings.dispatch.routes = routes;
        let stop = CancellationToken::new();
        let bridge = tokio::spawn({
            let (settings, stop) = (settings.clone(), stop.clone());
            async move { run::run(&settings, stop).await }
        });
        Ok(Self { settings, engine, bridge, ended: None, stop: stop.drop_guard(), _broker: broker })
    }

    /// Resolves if the bridge ends by itself, which it should not.
    pub(super) async fn bridge_ended(&mut self) {
        if self.ended.is_none() {
            self.ended = Some(ended((&mut self.bridge).await));
        }
    }

    /// Stops the bridge as a signal would, then the rest.
    pub(crate) async fn stop(self) -> Ended {
        drop(self.stop);
        let ended = match self.ended {
            Some(ended) => ended,
            None => ended(self.bridge.await),
        };
        self.engine.shutdown().await;
        ended
    }
}

fn ended(joined: Result<Ended, tokio::task::JoinError>) -> Ended {
    joined.unwrap_or_else(|error| Ended { exit: Exit::Failed, message: Some(format!("the bridge died: {error}")) })
}

/// A listener on the usual port if that is wanted and free, otherwise on any.
async fn listener(usual: u16, wanted: bool) -> std::io::Result<TcpListener> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(at(usual)).await {
        Ok(listener) if wanted => Ok(listener),
        _ => TcpListener::bind(at(0)).await,
    }
}

/// Settings for a stack on one machine: nothing to wait for, everything visible at once. Without an admin server.
#[must_use]
pub fn settings(brokers: &str, endpoint: &str) -> Settings {
    let mut settings = Settings::default();
    let Settings { kafka, cadence, bridge, breaker, admin, .. } = &mut settings;
    brokers.clone_into(&mut kafka.brokers);
    "handback-dev".clone_into(&mut kafka.group_id);
    // The mock cluster lets the first member of a classic group wait for three seconds.
    kafka.group_protocol = GroupProtocol::Consumer;
    // What a member that was killed costs the others.
    kafka.session_timeout = Duration::from_secs(6);
    kafka.properties.set("fetch.wait.max.ms", clients::FETCH_WAIT_MS);
    kafka.auto_commit_interval = Duration::from_millis(100);
    kafka.metadata_timeout = Duration::from_secs(5);
    endpoint.clone_into(&mut cadence.endpoint);
    bridge.drain_timeout = Duration::from_secs(3);
    bridge.revoke_timeout = Duration::from_secs(1);
    bridge.offset_interval = Duration::from_millis(20);
    breaker.probe_interval = Duration::from_millis(250);
    admin.listen = None;
    settings
}
