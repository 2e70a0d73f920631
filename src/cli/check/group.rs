//! Whether a group would take this process in. Pure: what the brokers told in, findings out.

use std::collections::BTreeMap;

use super::finding::{Area, Finding};
use crate::config::{GroupProtocol, Kafka};
use crate::kafka::cluster::{Group, Protocol};

const GROUP: &str = "group";

/// The assignor of handback's members.
const OURS: &str = "cooperative-sticky";

/// What would keep a member of ours out of `group`.
pub(super) fn judge(kafka: &Kafka, name: &str, group: &Group) -> Vec<Finding> {
    let mut findings = Vec::new();
    if group.members == 0 {
        return findings;
    }
    let apart = format!("stop its members first, or set kafka.group_id to a group of its own (now {name})");
    match (kafka.group_protocol, group.protocol) {
        (GroupProtocol::Classic, Protocol::Classic) if !group.assignor.is_empty() && group.assignor != OURS => {
            let what = format!(
                "{name}: its {} members share the work by {:?}; a member of ours ({OURS}) is refused \
                 (INCONSISTENT_GROUP_PROTOCOL)",
                group.members, group.assignor
            );
            findings.push(Finding::fault(Area::Kafka, GROUP, what, apart));
        }
        (GroupProtocol::Classic, Protocol::Consumer) => {
            let what =
                format!("{name}: its members speak the protocol \"consumer\", kafka.group_protocol is \"classic\"");
            findings.push(Finding::warn(
                Area::Kafka,
                GROUP,
                what,
                "set kafka.group_protocol to \"consumer\" everywhere",
            ));
        }
        (GroupProtocol::Consumer, Protocol::Classic) => {
            let what =
                format!("{name}: its members speak the protocol \"classic\", kafka.group_protocol is \"consumer\"");
            let fix = "fine while members are replaced one by one, where group.consumer.migration.policy of the brokers allows it";
            findings.push(Finding::warn(Area::Kafka, GROUP, what, fix));
        }
        _ => {}
    }
    findings
}

/// What of the brokers' limits would keep our members out. `limits` are a broker's settings, `ours` how many members a process
/// has in its largest group.
pub(super) fn limits(kafka: &Kafka, limits: &BTreeMap<String, String>, ours: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let number = |name: &str| limits.get(name)?.parse::<u128>().ok();
    let mut fault = |what: String, fix: String| findings.push(Finding::fault(Area::Kafka, GROUP, what, fix));
    let size = match kafka.group_protocol {
        GroupProtocol::Classic => {
            let session = kafka.session_timeout.as_millis();
            let (least, most) = ("group.min.session.timeout.ms", "group.max.session.timeout.ms");
            let bounds = (number(least).unwrap_or(0), number(most).unwrap_or(u128::MAX));
            if !(bounds.0..=bounds.1).contains(&session) {
                let what = format!(
                    "kafka.session_timeout is {session} ms, and the brokers refuse what is not {} to {} ms",
                    bounds.0, bounds.1
                );
                fault(what, format!("set kafka.session_timeout between the brokers' {least} and {most}"));
            }
            number("group.max.size")
        }
        GroupProtocol::Consumer => {
            if let Some(spoken) = limits.get("group.coordinator.rebalance.protocols")
                && !spoken.split(',').any(|one| one.trim() == "consumer")
            {
                let what = format!("kafka.group_protocol is \"consumer\", and the brokers speak only {spoken}");
                fault(what, "set kafka.group_protocol to \"classic\", or enable it on the brokers".to_owned());
            }
            number("group.consumer.max.size")
        }
    };
    if let Some(size) = size.filter(|size| *size < ours as u128) {
        let what = format!("a process has {ours} members, and the brokers let a group have {size}");
        fault(
            what,
            "lower bridge.workers, or raise group.max.size (group.consumer.max.size) of the brokers".to_owned(),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kafka(protocol: GroupProtocol, session: u64) -> Kafka {
        Kafka { group_protocol: protocol, session_timeout: Duration::from_secs(session), ..Kafka::default() }
    }

    fn group(protocol: Protocol, assignor: &str, members: usize) -> Group {
        Group { protocol, assignor: assignor.to_owned(), members }
    }

    fn told(findings: &[Finding]) -> String {
        findings.iter().map(|f| format!("{:?} {} -> {}", f.level, f.what, f.fix.clone().unwrap_or_default())).collect()
    }

    #[test]
    fn a_group_that_would_refuse_a_member_is_a_fault() {
        let classic = kafka(GroupProtocol::Classic, 45);
        let range = judge(&classic, "orders", &group(Protocol::Classic, "range", 2));
        let text = told(&range);
        assert!(
            ["Fault", "orders", "range", "INCONSISTENT_GROUP_PROTOCOL", "kafka.group_id"]
                .iter()
                .all(|part| text.contains(part)),
            "{text}"
        );
        for well in [
            group(Protocol::Classic, "range", 0),
            group(Protocol::Classic, OURS, 2),
            group(Protocol::Classic, "", 2),
            group(Protocol::Unknown, "", 2),
        ] {
            assert_eq!(told(&judge(&classic, "orders", &well)), "", "{well:?}");
        }
        assert!(told(&judge(&classic, "orders", &group(Protocol::Consumer, "uniform", 1))).starts_with("Warn"));
        let consumer = kafka(GroupProtocol::Consumer, 45);
        assert!(told(&judge(&consumer, "orders", &group(Protocol::Classic, OURS, 1))).starts_with("Warn"));
        assert_eq!(told(&judge(&consumer, "orders", &group(Protocol::Consumer, "uniform", 1))), "");
    }

    #[test]
    fn limits_of_the_brokers_that_keep_members_out_are_faults() {
        let told_by = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let classic = told_by(&[
            ("group.min.session.timeout.ms", "6000"),
            ("group.max.session.timeout.ms", "1800000"),
            ("group.max.size", "4"),
        ]);
        assert_eq!(told(&limits(&kafka(GroupProtocol::Classic, 45), &classic, 4)), "");
        let text = told(&limits(&kafka(GroupProtocol::Classic, 3), &classic, 5));
        assert!(
            ["3000 ms", "6000 to 1800000", "5 members", "bridge.workers"].iter().all(|part| text.contains(part)),
            "{text}"
        );
        let old = told_by(&[("group.coordinator.rebalance.protocols", "classic")]);
        assert!(told(&limits(&kafka(GroupProtocol::Consumer, 45), &old, 1)).contains("\"classic\""));
        assert_eq!(told(&limits(&kafka(GroupProtocol::Consumer, 45), &BTreeMap::new(), 1)), "");
    }
}
