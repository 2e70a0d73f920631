//! SIGTERM and SIGINT: the first stops in order, the second at once.

use std::io;
use std::process;

use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// Cancels `shutdown` at the first signal, and ends the process at the second: what was in hand comes again.
pub(super) fn stop_on(shutdown: CancellationToken) {
    tokio::spawn(async move {
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "signals cannot be heard; only a kill will end this process");
                return;
            }
        };
        let name = signals.next().await;
        tracing::info!(signal = name, "stopping: no new records, work in hand finishes; a second signal ends at once");
        shutdown.cancel();
        let name = signals.next().await;
        tracing::warn!(signal = name, "second signal, ending at once; what was in hand comes again");
        process::exit(Exit::DrainMissed.code().into());
    });
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        let _ = tokio::signal::ctrl_c().await;
        "Ctrl-C"
    }
}
