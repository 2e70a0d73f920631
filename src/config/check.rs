//! Values that are well formed but wrong, alone or together.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::load::Purpose;
use super::{GroupProtocol, Settings, Topics};

mod brokers;
mod dispatch;
mod properties;

/// Largest `bridge.workers`: more consumer threads than a large machine has cores are a slip of the finger.
pub const MAX_WORKERS: usize = 64;

/// Length of a topic id, as Kafka's tools print it.
const TOPIC_ID: usize = 22;

const EXAMPLE_ID: &str = "activity-replies=Ki3xXsVZQkSW0S-CpcIdrQ";

/// Kafka's own limit.
const MAX_TOPIC_NAME: usize = 249;

/// Everything that is wrong with `settings`, as setting and message. A check that reads one of the settings that are
/// `wrong` already is passed over: its value is a default that nobody has chosen.
pub(super) fn check(settings: &Settings, wrong: &BTreeSet<String>, purpose: Purpose) -> Vec<(String, String)> {
    let mut checks = Checks { wrong, found: Vec::new() };
    let group_required = match purpose {
        Purpose::Bridge => true,
        Purpose::Check => settings.dispatch.routes.is_empty(),
        Purpose::Dispatch | Purpose::Other => false,
    };
    kafka(&mut checks, settings, group_required);
    topics(&mut checks, settings);
    cadence(&mut checks, settings);
    bridge(&mut checks, settings);
    retry_and_breaker(&mut checks, settings);
    flood(&mut checks, settings);
    ledger(&mut checks, settings);
    lookup(&mut checks, settings);
    dispatch::check(&mut checks, settings, purpose == Purpose::Dispatch || settings.dispatch.enabled);
    if let Err(error) = EnvFilter::builder().parse(&settings.log.filter) {
        checks.must(&["log.filter"], false, || format!("{error}"));
    }
    checks.found
}

struct Checks<'a> {
    wrong: &'a BTreeSet<String>,
    found: Vec<(String, String)>,
}

impl Checks<'_> {
    /// Records a fault of the first of `settings` unless `holds`; the others are what it is compared with.
    fn must(&mut self, settings: &[&str], holds: bool, message: impl FnOnce() -> String) {
        if !holds && !settings.iter().any(|setting| self.wrong.contains(*setting)) {
            self.found.push((settings[0].to_owned(), message()));
        }
    }

    fn positive(&mut self, setting: &str, duration: Duration) {
        self.must(&[setting], !duration.is_zero(), || "must be longer than nothing".into());
    }

    fn at_least_one(&mut self, setting: &str, number: usize) {
        self.must(&[setting], number > 0, || "must be at least 1".into());
    }
}

fn kafka(checks: &mut Checks<'_>, Settings { kafka, .. }: &Settings, group_required: bool) {
    if let Some(message) = brokers::fault(&kafka.brokers) {
        checks.must(&["kafka.brokers"], false, || message);
    }
    checks.must(&["kafka.group_id"], !group_required || !kafka.group_id.trim().is_empty(), || {
        "is required: the consumer group of this bridge, such as \"orders-handback\"; \
         set it in the file or by HANDBACK__KAFKA__GROUP_ID"
            .into()
    });
    checks.positive("kafka.session_timeout", kafka.session_timeout);
    checks.positive("kafka.auto_commit_interval", kafka.auto_commit_interval);
    checks.positive("kafka.metadata_timeout", kafka.metadata_timeout);
    properties::check(checks, kafka);
}

fn topics(checks: &mut Checks<'_>, Settings { topics, .. }: &Settings) {
    checks.must(&["topics.replies"], !topics.replies.is_empty(), || "names no topic to read".into());
    let mut seen: Vec<(&str, &str)> = Vec::new();
    let named = [("topics.requests", &topics.requests)]
        .into_iter()
        .chain(topics.replies.iter().map(|name| ("topics.replies", name)))
        .chain([("topics.outcomes", &topics.outcomes), ("topics.dead_letters", &topics.dead_letters)])
        .chain(topics.retry.iter().map(|name| ("topics.retry", name)));
    for (setting, name) in named {
        checks.must(&[setting], is_topic_name(name), || {
            format!("{name:?} is no topic name: 1 to {MAX_TOPIC_NAME} letters, digits, dots, underscores and hyphens")
        });
        if let Some((other, _)) = seen.iter().find(|(_, n)| *n == name) {
            checks.must(&[setting, other], false, || format!("{name:?} is used twice, here and in {other}"));
        }
        seen.push((setting, name));
    }
    for name in topics.require_json.iter().filter(|name| !topics.replies.contains(name)) {
        checks.must(&["topics.require_json", "topics.replies"], false, || {
            format!("{name:?} is not one of topics.replies")
        });
    }
    for entry in &topics.accept_recreated {
        let read = |topic: &str| topics.replies.iter().chain(&topics.retry).any(|name| name == topic);
        let holds = entry.split_once('=').is_some_and(|(topic, id)| read(topic) && id.len() == TOPIC_ID);
        checks.must(&["topics.accept_recreated", "topics.replies", "topics.retry"], holds, || {
            format!("{entry:?} is not one of topics.replies or topics.retry with its id, such as \"{EXAMPLE_ID}\"")
        });
    }
    let delays: Vec<Option<Duration>> = topics.retry.iter().map(|name| Topics::delay_of(name)).collect();
    for (name, _) in topics.retry.iter().zip(&delays).filter(|(_, delay)| delay.is_none()) {
        checks.must(&["topics.retry"], false, || format!("{name:?} does not end in its delay, such as \"-30s\""));
    }
    checks.must(&["topics.retry"], delays.iter().flatten().is_sorted_by(|a, b| a < b), || {
        "must be in order of delay, shortest first".into()
    });
}

fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=MAX_TOPIC_NAME).contains(&name.len()) && name.chars().all(legal) && name != "." && name != ".."
}

fn cadence(checks: &mut Checks<'_>, Settings { cadence, .. }: &Settings) {
    if let Some(message) = endpoint_fault(&cadence.endpoint) {
        checks.must(&["cadence.endpoint"], false, || message.into());
    }
    checks.must(&["cadence.service"], !cadence.service.is_empty(), || "must not be empty".into());
    checks.must(&["cadence.caller"], !cadence.caller.is_empty(), || "must not be empty".into());
    checks.at_least_one("cadence.connections", cadence.connections);
    checks.positive("cadence.call_timeout", cadence.call_timeout);
    checks.must(&["cadence.domains"], cadence.domains.iter().all(|name| !name.is_empty()), || {
        "holds an empty name".into()
    });
    let both = cadence.authorization.is_some() && cadence.authorization_file.is_some();
    checks.must(&["cadence.authorization_file", "cadence.authorization"], !both, || {
        "cannot stand beside cadence.authorization: give the JWT or its file".into()
    });
    let pair = (&cadence.cert_file, &cadence.key_file);
    let names = ["cadence.cert_file", "cadence.key_file"];
    checks.must(&names, !matches!(pair, (Some(_), None)), || "needs cadence.key_file beside it".into());
    checks.must(&[names[1], names[0]], !matches!(pair, (None, Some(_))), || "needs cadence.cert_file beside it".into());
    let tls = cadence.endpoint.starts_with("https://");
    for (setting, given) in [
        ("cadence.ca_file", cadence.ca_file.is_some()),
        ("cadence.cert_file", cadence.cert_file.is_some()),
        ("cadence.tls_domain", cadence.tls_domain.is_some()),
    ] {
        checks.must(&[setting, "cadence.endpoint"], tls || !given, || {
            "has no effect unless cadence.endpoint begins with https://".into()
        });
    }
}

fn endpoint_fault(endpoint: &str) -> Option<&'static str> {
    let rest = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    let Some(rest) = rest else { return Some("must begin with http:// or https://, like \"http://127.0.0.1:7833\"") };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@', ' ']) {
        return Some("must be scheme, host and port only, like \"http://127.0.0.1:7833\"");
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => None,
        _ => Some("must name host and port, like \"http://127.0.0.1:7833\" (7833 is Cadence's gRPC port)"),
    }
}

fn bridge(checks: &mut Checks<'_>, Settings { bridge, kafka, .. }: &Settings) {
    checks.must(&["bridge.workers"], (1..=MAX_WORKERS).contains(&bridge.workers), || {
        format!("must be between 1 and {MAX_WORKERS}")
    });
    checks.at_least_one("bridge.max_in_flight", bridge.max_in_flight);
    checks.at_least_one("bridge.max_recording", bridge.max_recording);
    checks.at_least_one("bridge.max_gap", bridge.max_gap);
    checks.at_least_one("bridge.max_lane_depth", bridge.max_lane_depth);
    checks.at_least_one("bridge.max_payload_bytes", bridge.max_payload_bytes);
    checks.must(
        &["bridge.max_in_flight_bytes", "bridge.max_payload_bytes"],
        bridge.max_in_flight_bytes >= bridge.max_payload_bytes,
        || "must hold at least one payload of bridge.max_payload_bytes".into(),
    );
    checks.positive("bridge.offset_interval", bridge.offset_interval);
    checks.positive("bridge.revoke_timeout", bridge.revoke_timeout);
    for (setting, timeout) in
        [("bridge.drain_timeout", bridge.drain_timeout), ("bridge.revoke_timeout", bridge.revoke_timeout)]
    {
        let session = kafka.session_timeout;
        // By the other protocol the session's length is the broker's, and not known here.
        let below = timeout < session || kafka.group_protocol == GroupProtocol::Consumer;
        checks.must(&[setting, "kafka.session_timeout"], below, || {
            let (ours, theirs) = (humantime::format_duration(timeout), humantime::format_duration(session));
            format!(
                "{ours} must be below kafka.session_timeout ({theirs}), or the group gives the partitions away first"
            )
        });
    }
}

fn flood(checks: &mut Checks<'_>, Settings { flood, .. }: &Settings) {
    checks.positive("flood.window", flood.window);
    checks.positive("flood.pause", flood.pause);
    checks.must(&["flood.pause", "flood.max_pause"], flood.pause <= flood.max_pause, || {
        "must not exceed flood.max_pause".into()
    });
    checks.at_least_one("flood.max_dead_letters", flood.max_dead_letters);
    checks.at_least_one("flood.trial", flood.trial);
    let share = flood.share;
    checks.must(&["flood.share"], share > 0.0 && share <= 1.0, || "must be above 0.0 and at most 1.0".into());
}

fn ledger(checks: &mut Checks<'_>, Settings { ledger, .. }: &Settings) {
    checks.positive("ledger.max_age", ledger.max_age);
    checks.positive("ledger.load_timeout", ledger.load_timeout);
    checks.at_least_one("ledger.max_entries", ledger.max_entries);
    checks.must(&["ledger.max_total", "ledger.max_entries"], ledger.max_entries <= ledger.max_total, || {
        "must not be below ledger.max_entries".into()
    });
    // The ledger counts its entries in 32 bits.
    checks.must(&["ledger.max_total"], u32::try_from(ledger.max_total).is_ok(), || "must be below 2^32".into());
}

fn lookup(checks: &mut Checks<'_>, Settings { lookup, .. }: &Settings) {
    checks.at_least_one("lookup.max_pages", lookup.max_pages);
    checks.at_least_one("lookup.max_bytes", lookup.max_bytes);
    checks.positive("lookup.timeout", lookup.timeout);
}

fn retry_and_breaker(checks: &mut Checks<'_>, Settings { retry, breaker, .. }: &Settings) {
    checks.at_least_one("retry.max_attempts", retry.max_attempts as usize);
    checks.positive("retry.initial", retry.initial);
    checks.positive("retry.spent", retry.spent);
    checks.positive("retry.max_parked", retry.max_parked);
    checks.must(&["retry.initial", "retry.max"], retry.initial <= retry.max, || "must not exceed retry.max".into());
    checks.must(&["retry.multiplier"], retry.multiplier.is_finite() && retry.multiplier >= 1.0, || {
        "must be 1.0 or more: delays do not shrink".into()
    });
    checks.must(&["retry.jitter"], (0.0..=1.0).contains(&retry.jitter), || "must be between 0.0 and 1.0".into());
    checks.positive("breaker.window", breaker.window);
    checks.positive("breaker.probe_interval", breaker.probe_interval);
    checks.at_least_one("breaker.min_workflows", breaker.min_workflows);
    let share = breaker.failure_share;
    checks.must(&["breaker.failure_share"], share > 0.0 && share <= 1.0, || "must be above 0.0 and at most 1.0".into());
}
