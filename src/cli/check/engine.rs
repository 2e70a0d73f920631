//! Probes of the engine and its domains.

use std::sync::Arc;

use super::finding::{Area, Finding};
use crate::admin::Metrics;
use crate::bridge::seams::{DomainRef, Engine, Probed, Wiring};
use crate::cadence::Client;
use crate::config::Settings;

const FRONTEND: &str = "frontend";

/// Everything that can be learnt from the engine. Never fails: what cannot be learnt is a finding.
pub(super) async fn probe(settings: &Settings) -> Vec<Finding> {
    let cadence = &settings.cadence;
    let client = match Client::connect(cadence, Arc::new(Metrics::new())) {
        Ok(client) => client,
        Err(error) => {
            let what = with_sources(&error);
            return vec![Finding::fault(Area::Engine, FRONTEND, what, "correct the setting in [cadence]")];
        }
    };
    match client.probe_wiring().await {
        Wiring::Sound => {}
        Wiring::Broken(answer) => {
            let what = format!("{} does not answer like a Cadence frontend: {answer}", cadence.endpoint);
            let fix = "cadence.endpoint must be the frontend's gRPC port (7833), cadence.service its name, and \
                       cadence.authorization a JWT that it accepts";
            return vec![Finding::fault(Area::Engine, FRONTEND, what, fix)];
        }
        Wiring::Unreachable(answer) => {
            let what = format!("{} does not answer: {answer}", cadence.endpoint);
            let fix = "check that cadence.endpoint is right and reachable from here, and https:// if it wants TLS";
            return vec![Finding::fault(Area::Engine, FRONTEND, what, fix)];
        }
    }
    let what = format!("{} accepts calls of {:?}", cadence.endpoint, cadence.caller);
    let mut findings = vec![Finding::ok(Area::Engine, FRONTEND, what)];
    findings.extend(domains(&client, settings).await);
    findings
}

async fn domains(client: &Client, settings: &Settings) -> Vec<Finding> {
    let (mut findings, mut history) = (Vec::new(), None);
    if settings.cadence.domains.is_empty() {
        let history =
            if settings.dispatch.routes.is_empty() { "; history was not probed for want of a name" } else { "" };
        findings.push(Finding::ok(Area::Domains, "all", format!("every domain may be answered{history}")));
    }
    for (name, setting) in named(settings) {
        match client.domain_id(name).await {
            Ok(Some(id)) => {
                findings.push(Finding::ok(Area::Domains, name, id.to_string()));
                history.get_or_insert(id);
            }
            Ok(None) => {
                let fix = format!("correct {setting}, or register it: cadence --domain {name} domain register");
                findings.push(Finding::fault(Area::Domains, name, "is not registered", fix));
            }
            Err(error) => {
                let what = format!("not checked: {} {}", error.status, error.message);
                findings.push(Finding::warn(Area::Domains, name, what, "allow DescribeDomain for this caller"));
            }
        }
    }
    if let Some(id) = history {
        findings.insert(0, probe_history(client, &id).await);
    }
    findings
}

/// The domains that the settings name, each once, with the setting that names it.
fn named(settings: &Settings) -> Vec<(&str, &'static str)> {
    let mut named: Vec<_> = settings.cadence.domains.iter().map(|name| (name.as_str(), "cadence.domains")).collect();
    for route in &settings.dispatch.routes {
        if !named.iter().any(|(name, _)| *name == route.domain) {
            named.push((&route.domain, "dispatch.routes"));
        }
    }
    named
}

async fn probe_history(client: &Client, domain_id: &str) -> Finding {
    // One id tries one shard of the history service; the process id makes it another one each time.
    let answer = client
        .probe_history(&DomainRef::Id(domain_id.into()), &format!("handback-probe-{:016x}", std::process::id()))
        .await;
    match answer {
        Probed::Well | Probed::Elsewhere(_) => Finding::ok(Area::Engine, "history", "answers"),
        Probed::Busy(text) => Finding::warn(
            Area::Engine,
            "history",
            format!("answers, and asks for less load: {text}"),
            "look at the limits of the frontend and the history hosts",
        ),
        Probed::Unwell(text) => Finding::fault(
            Area::Engine,
            "history",
            format!("the frontend answers, but its history service does not: {text}"),
            "look after the history hosts; replies wait meanwhile",
        ),
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
