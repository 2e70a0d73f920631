//! The watcher of the gate: probes what keeps it shut, and reopens it or tells that the wiring is broken for good.

use std::time::Duration;

use tokio::time::Instant;

use super::core::Core;
use super::gate::Trouble;
use super::seams::{DomainRef, Engine, Log, Probed, Wiring};

/// Probes in a row that must find the wiring broken: one odd answer of a load balancer must not stop the process.
pub(crate) const CONFIRMATIONS: usize = 3;

/// Pause between two looks after domains that were out of order: as often as their replies would be tried in place.
const HEAL_INTERVAL: Duration = Duration::from_secs(10);

/// Key under which an unwell engine is a reason to be unready: until calls succeed again, not only probes.
pub(crate) const ENGINE: &str = "engine";

/// Watches for ever; ends only with the text of a confirmed wiring fault.
pub(crate) async fn watch<E: Engine, L: Log>(core: &Core<E, L>) -> String {
    let mut broken = 0;
    let mut next_probe = Instant::now();
    let mut next_heal = next_probe;
    loop {
        match core.gate.trouble() {
            None => {
                tokio::select! {
                    () = core.gate.troubled() => {}
                    () = heal(core, next_heal) => next_heal = Instant::now() + HEAL_INTERVAL,
                }
                continue;
            }
            Some(Trouble::Wiring(text)) => {
                core.unready
                    .raise(ENGINE, format!("the engine gave an answer that no Cadence frontend of ours gives: {text}"));
                broken = look_at_wiring(core, broken).await;
                if broken >= CONFIRMATIONS {
                    return text;
                }
                if broken == 0 && core.gate.trouble().is_none() {
                    continue;
                }
            }
            Some(Trouble::Unwell(domain)) => {
                // An engine that answers probes and fails calls would be probed without a pause otherwise.
                tokio::time::sleep_until(next_probe).await;
                next_probe = Instant::now() + core.options.probe_interval;
                probe(core, domain).await;
                continue;
            }
        }
        tokio::time::sleep(core.options.probe_interval).await;
    }
}

/// Looks once after reasons that outlive their records, as soon as there are any and it is time.
async fn heal<E: Engine, L: Log>(core: &Core<E, L>, at: Instant) {
    core.unready.lingers().await;
    tokio::time::sleep_until(at).await;
    for domain in core.unready.lingering() {
        if is_mended(core, &domain).await {
            core.unready.mended(&domain);
        }
    }
}

/// Whether a domain is at home here, and its name is told where that was the matter.
async fn is_mended<E: Engine, L: Log>(core: &Core<E, L>, domain: &DomainRef) -> bool {
    if let DomainRef::Id(id) = domain
        && !matches!(core.engine.domain_name(id).await, Ok(Some(_)))
    {
        return false;
    }
    core.engine.probe_history(domain, &core.probe_name()).await == Probed::Well
}

/// One look at the wiring: how many in a row found it broken.
async fn look_at_wiring<E: Engine, L: Log>(core: &Core<E, L>, broken: usize) -> usize {
    match core.engine.probe_wiring().await {
        Wiring::Sound => {
            tracing::warn!("the wiring is sound after all; going on");
            core.gate.trust();
            0
        }
        Wiring::Broken(text) => {
            tracing::error!(answer = %text, confirmed = broken + 1, of = CONFIRMATIONS, "the wiring is broken");
            broken + 1
        }
        // Nobody there says nothing about the wiring: keep waiting, count nothing.
        Wiring::Unreachable(text) => {
            core.unready.raise(ENGINE, format!("the engine cannot be reached: {text}; replies wait"));
            broken
        }
    }
}

/// One probe of an unwell engine.
async fn probe<E: Engine, L: Log>(core: &Core<E, L>, domain: Option<DomainRef>) {
    let answer = match &domain {
        // Only what an ailing engine says counts against it. One domain that moved to another cluster must not hold up all
        // others, and a busy engine is well.
        Some(domain) => match core.engine.probe_history(domain, &core.probe_name()).await {
            Probed::Unwell(text) => Err(text),
            Probed::Well | Probed::Elsewhere(_) | Probed::Busy(_) => Ok(()),
        },
        None => match core.engine.probe_wiring().await {
            Wiring::Sound => Ok(()),
            Wiring::Broken(text) => {
                core.gate.suspect(text.clone());
                Err(text)
            }
            Wiring::Unreachable(text) => Err(text),
        },
    };
    match answer {
        Ok(()) => {
            tracing::info!("the engine answers again; one reply goes first");
            core.gate.probe_answered();
            // An engine can answer probes and fail every call: it is well once a reply was answered.
            core.unready
                .raise(ENGINE, "the engine answers probes again; one reply goes first, the others wait".to_owned());
        }
        Err(text) => {
            core.gate.probe_failed();
            let reason = format!("the engine is unwell ({text}): replies wait, none loses an attempt");
            tracing::warn!("{reason}");
            core.unready.raise(ENGINE, reason);
        }
    }
}
