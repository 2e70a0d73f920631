//! `handback run` and `handback dev`: what stays until it is told to stop.

use tokio_util::sync::CancellationToken;

#[cfg(feature = "dev")]
use super::args::Dev;
use super::signals;
use crate::config::Settings;
#[cfg(feature = "dev")]
use crate::dev;
use crate::exit::Exit;

/// Runs the bridge until a signal or its own end.
pub(super) async fn run(settings: &Settings) -> Exit {
    let shutdown = CancellationToken::new();
    signals::stop_on(shutdown.clone());
    let ended = crate::run(settings, shutdown).await;
    if let Some(message) = ended.message {
        anstream::eprintln!("handback: {message}");
    }
    ended.exit
}

/// Runs the stack in one process, and its demo.
#[cfg(feature = "dev")]
pub(super) async fn dev(args: &Dev) -> Exit {
    let shutdown = CancellationToken::new();
    signals::stop_on(shutdown.clone());
    // As it was called, so that the commands it shows can be pasted.
    let program = std::env::args().next().unwrap_or_else(|| "handback".into());
    dev::dev(dev::Options { once: args.once, program }, shutdown).await
}
