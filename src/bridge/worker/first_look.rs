//! What is asked of the engine before anything is read.

use std::time::Duration;

use crate::bridge::seams::{Engine, Wiring};
use crate::bridge::watch::CONFIRMATIONS;

/// How long an engine may be silent before its replies are read and wait: as long as a call may take by default.
const SILENCE: Duration = Duration::from_secs(10);

/// Pause between two questions after an answer that no Cadence frontend of ours gives.
const PAUSE: Duration = Duration::from_millis(200);

/// What the engine said to the first question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstLook {
    /// It answers as it should.
    Sound,
    /// Nobody answers: says nothing about the wiring. Replies wait.
    Silent,
    /// What answers is not a Cadence frontend that accepts us, and said so each time it was asked.
    Broken(String),
}

/// Asks whether there is an engine of ours, before the consumer joins its group: a process with a wrong endpoint must not cost
/// the healthy members two rebalances for each of its starts.
pub async fn first_look<E: Engine>(engine: &E) -> FirstLook {
    let mut answer = String::new();
    for asked in 0..CONFIRMATIONS {
        if asked > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match tokio::time::timeout(SILENCE, engine.probe_wiring()).await {
            Ok(Wiring::Sound) => return FirstLook::Sound,
            Ok(Wiring::Broken(text)) => answer = text,
            Ok(Wiring::Unreachable(_)) | Err(_) => return FirstLook::Silent,
        }
    }
    FirstLook::Broken(answer)
}
