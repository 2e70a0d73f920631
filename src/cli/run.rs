//! `handback run`

use tokio_util::sync::CancellationToken;

use super::signals;
use crate::config::Settings;
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
