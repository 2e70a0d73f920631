//! The watcher of the wiring: looks twice before the process ends because of it.

use super::core::Core;
use super::seams::Tasks;
use crate::bridge::seams::Wiring;

/// Probes in a row that must find the wiring broken: one odd answer of a load balancer must not stop the process.
const CONFIRMATIONS: usize = 3;

/// Watches for ever; ends only with the text of a confirmed wiring fault.
pub(super) async fn watch<T: Tasks, R>(core: &Core<T, R>) -> String {
    loop {
        core.suspicion().await;
        let mut broken = 0;
        loop {
            match core.tasks.probe_wiring().await {
                // Polls are authorised where answers are not: a caller that may not poll finds the wiring sound.
                Wiring::Sound => break,
                Wiring::Broken(text) => {
                    broken += 1;
                    tracing::error!(answer = %text, confirmed = broken, of = CONFIRMATIONS, "the wiring is broken");
                    if broken >= CONFIRMATIONS {
                        return text;
                    }
                }
                // Nobody there says nothing about the wiring.
                Wiring::Unreachable(text) => tracing::warn!(answer = %text, "the engine cannot be reached"),
            }
            tokio::time::sleep(core.options.probe_interval).await;
        }
    }
}
