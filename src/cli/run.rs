//! `handback run`, `handback dispatch` and `handback dev`: what stays until it is told to stop.

use tokio_util::sync::CancellationToken;

#[cfg(feature = "dev")]
use super::args::Dev;
use super::signals;
use crate::Ended;
use crate::admin::Printable;
use crate::config::Settings;
#[cfg(feature = "dev")]
use crate::dev;
use crate::exit::Exit;

/// Runs the bridge until a signal or its own end.
pub(super) async fn run(settings: &Settings) -> Exit {
    told(crate::run(settings, stop_on_signals()).await)
}

/// Dispatches until a signal or its own end.
pub(super) async fn dispatch(settings: &Settings) -> Exit {
    told(crate::dispatch(settings, stop_on_signals()).await)
}

fn stop_on_signals() -> CancellationToken {
    let shutdown = CancellationToken::new();
    signals::stop_on(shutdown.clone());
    shutdown
}

fn told(ended: Ended) -> Exit {
    if let Some(message) = ended.message {
        anstream::eprintln!("handback: {}", Printable(message));
    }
    ended.exit
}

/// Runs the stack in one process, and its demo.
#[cfg(feature = "dev")]
pub(super) async fn dev(args: &Dev) -> Exit {
    let shutdown = stop_on_signals();
    // As it was called, so that the commands it shows can be pasted.
    let program = std::env::args().next().unwrap_or_else(|| "handback".into());
    dev::dev(dev::Options { once: args.once, program }, shutdown).await
}
