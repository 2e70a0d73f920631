//! The dispatching part of the process: its engine client, its thread's runtime, and what its ending means.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Ended, with_source};
use crate::bridge;
use crate::cadence;
use crate::config::Settings;
use crate::dispatch::{self, Ending, Options};
use crate::exit::Exit;
use crate::kafka::{Producer, client};

/// What the dispatching thread is given.
pub(super) struct Dispatcher {
    pub(super) settings: Settings,
    pub(super) producer: Producer,
    pub(super) shared: bridge::Shared,
}

impl Dispatcher {
    /// The body of the thread.
    pub(super) fn run(self, stop: CancellationToken) -> Ended {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return Ended::failed(format!("cannot start a runtime: {error}")),
        };
        runtime.block_on(self.work(stop))
    }

    async fn work(self, stop: CancellationToken) -> Ended {
        let Self { settings, producer, shared } = self;
        // Polls wait at the engine for a minute: their connections are nobody else's.
        let engine = match cadence::Client::connect(&settings.cadence, Arc::clone(&shared.metrics)) {
            Ok(engine) => engine,
            Err(error) => return Ended::failed(with_source(&error)),
        };
        let options = Options::new(&settings, client::process_name(&settings.kafka), fastrand::u64(..));
        let shared = dispatch::Shared { metrics: shared.metrics, health: shared.health };
        match dispatch::run(engine, producer, options, shared, stop).await {
            Ending::Drained => Ended { exit: Exit::Ok, message: None },
            Ending::DrainMissed(left) => Ended {
                exit: Exit::DrainMissed,
                message: Some(format!(
                    "dispatch: {left} activities were still in hand at bridge.drain_timeout; their timeouts end them"
                )),
            },
            Ending::Wiring(text) => Ended {
                exit: Exit::Wiring,
                message: Some(format!(
                    "cadence.endpoint {} does not answer as a Cadence frontend that accepts us: {text}. Check \
                     cadence.endpoint, cadence.service and cadence.authorization with `handback check`",
                    settings.cadence.endpoint
                )),
            },
            Ending::Fatal(text) => Ended { exit: Exit::KafkaFatal, message: Some(format!("dispatch: {text}")) },
        }
    }
}
