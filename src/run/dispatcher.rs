//! The dispatching part of the process: its engine client, its thread's runtime, and what its ending means.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Ended, on_a_runtime, with_source};
use crate::bridge;
use crate::cadence;
use crate::config::Settings;
use crate::dispatch::{self, Ending, Options};
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
        on_a_runtime(self.work(stop))
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
            Ending::Drained => Ended::well(),
            Ending::DrainMissed(left) => Ended::drain_missed(format!(
                "dispatch: {left} activities were still in hand at bridge.drain_timeout; their timeouts end them"
            )),
            Ending::Wiring(text) => Ended::wiring(&settings, &text),
            Ending::Fatal(text) => Ended::fatal(format!("dispatch: {text}")),
        }
    }
}
