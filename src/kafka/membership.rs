//! Whether the group has taken the consumer in. Until it has nothing is read, and the reasons why it would not are told only as
//! errors that name no topic.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::time::Instant;

use super::rebalance::Context;
use super::statistics::Group;

/// How long a member may be out of its group before that is trouble: longer than a rebalance in which some member waits for
/// all of its `bridge.revoke_timeout`, which is below the usual `kafka.session_timeout` of 45 s.
const REJOIN: Duration = Duration::from_secs(60);

/// How long the coordinator must have been known before a member that got no partitions counts as one, where the broker
/// assigns: librdkafka calls nobody back for an empty assignment then. Its first heartbeat is answered, or refused, by then.
const SETTLED: Duration = Duration::from_secs(5);

/// What is known of the membership.
#[derive(Debug)]
pub(super) struct Membership {
    /// By KIP-848.
    broker_assigns: bool,
    /// Since when it is out of the group, if it has been in it.
    out_since: Option<Instant>,
    was_in: bool,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    In,
    /// On its way in, for the first time or in a rebalance.
    Joining,
    /// Out for this long after it had been in.
    Out(Duration),
}

impl Membership {
    pub(super) fn new(broker_assigns: bool) -> Self {
        Self { broker_assigns, out_since: None, was_in: false }
    }

    fn seen(&mut self, group: &Group, now: Instant) -> Standing {
        let up = group.state == "up";
        let unassigned = self.broker_assigns
            && group.join_state == "init"
            && u64::try_from(group.stateage).is_ok_and(|age| Duration::from_millis(age) >= SETTLED);
        if up && (group.join_state == "steady" || unassigned) {
            *self = Self { was_in: true, out_since: None, ..*self };
            return Standing::In;
        }
        if !self.was_in {
            return Standing::Joining;
        }
        let out = now.duration_since(*self.out_since.get_or_insert(now));
        if out < REJOIN { Standing::Joining } else { Standing::Out(out) }
    }
}

impl Context {
    /// Tells readiness how we stand in the group.
    pub(super) fn look_at_group(&self, group: &Group) {
        let standing =
            self.membership.lock().unwrap_or_else(std::sync::PoisonError::into_inner).seen(group, Instant::now());
        match standing {
            Standing::In => self.conditions.in_group(),
            Standing::Joining => {}
            Standing::Out(_) => self.conditions.out_of_group(format!(
                "this process has been out of its consumer group for more than {} s (coordinator {}, {}): look at the group with \
                 `kafka-consumer-groups --describe --state`, and at the brokers that coordinate it",
                REJOIN.as_secs(),
                group.state,
                group.join_state,
            )),
        }
    }
}

/// Why nothing is read before the group has taken us in.
pub(super) fn joining(group: &str) -> String {
    format!(
        "the group {group} has not taken this process in yet. If it stays so, look at it with `handback check` and with \
         `kafka-consumer-groups --describe --state --group {group}`"
    )
}

/// What to do when the group refuses with this code; `None` for codes that are no refusal, or pass.
pub(super) fn refusal(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::GroupAuthorizationFailed => {
            "no permission for the consumer group: grant READ on the group kafka.group_id, and on the same with `-retry`"
        }
        Code::InconsistentGroupProtocol => {
            "the group's members share the work in another way (another assignor, or no consumers at all): stop those that are \
             not handback, or set kafka.group_id to a group of its own"
        }
        Code::InvalidSessionTimeout => {
            "kafka.session_timeout is outside of what the brokers allow: set it between their group.min.session.timeout.ms and \
             group.max.session.timeout.ms"
        }
        Code::GroupMaxSizeReached => {
            "the group is full: run fewer processes or bridge.workers, or raise group.max.size (group.consumer.max.size) of the \
             brokers"
        }
        Code::InvalidGroupId => "kafka.group_id is no name that the brokers take: correct it",
        Code::FencedInstanceId => {
            "another member has the same group.instance.id: give each process its own in [kafka.properties]"
        }
        Code::UnreleasedInstanceId => {
            "another member has the same group.instance.id, or its session has not ended yet: give each process its own, or wait"
        }
        Code::UnsupportedAssignor => {
            "the brokers do not know the assignor of group.remote.assignor: correct or remove it"
        }
        _ => return None,
    })
}

/// Whether an error without a code of its own above says that the group does not take us in.
pub(super) fn is_refusal(code: Code, text: &str) -> bool {
    let passes = matches!(
        code,
        Code::RebalanceInProgress
            | Code::UnknownMemberId
            | Code::IllegalGeneration
            | Code::MemberIdRequired
            | Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::BrokerTransportFailure
            | Code::OperationTimedOut
            | Code::RequestTimedOut
    );
    !passes
        && ["JoinGroup failed", "SyncGroup failed", "ConsumerGroupHeartbeat failed"]
            .iter()
            .any(|what| text.starts_with(what))
}

/// What to do about what ends a consumer.
pub(super) fn fatal_advice(code: Code) -> String {
    let advice = match code {
        Code::UnsupportedVersion | Code::UnsupportedFeature => Some(
            "kafka.group_protocol = \"consumer\" needs Kafka 4.0, or the group's protocol enabled on the brokers \
             (group.coordinator.rebalance.protocols): set it to \"classic\"",
        ),
        Code::InvalidRequest => Some("the brokers refuse what the group is asked for: correct [kafka.properties]"),
        code => refusal(code),
    };
    advice.map(|advice| format!(". What to do: {advice}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(state: &str, join_state: &str, stateage: i64) -> Group {
        Group { state: state.to_owned(), join_state: join_state.to_owned(), stateage }
    }

    #[test]
    fn only_a_member_that_was_in_and_stays_out_is_out() {
        let (mut membership, start) = (Membership::new(false), Instant::now());
        let late = start + 10 * REJOIN;
        assert_eq!(membership.seen(&group("wait-coord", "init", 0), start), Standing::Joining);
        assert_eq!(
            membership.seen(&group("up", "wait-join", 0), late),
            Standing::Joining,
            "the start says what it waits for"
        );
        assert_eq!(membership.seen(&group("up", "steady", 0), late), Standing::In);
        assert_eq!(membership.seen(&group("up", "wait-sync", 0), late), Standing::Joining, "a rebalance is no trouble");
        assert_eq!(membership.seen(&group("up", "wait-sync", 0), late + REJOIN / 2), Standing::Joining);
        assert_eq!(membership.seen(&group("query-coord", "init", 0), late + REJOIN), Standing::Out(REJOIN));
        assert_eq!(membership.seen(&group("up", "steady", 0), late + REJOIN), Standing::In);
        assert_eq!(membership.seen(&group("up", "wait-join", 0), late + 2 * REJOIN), Standing::Joining, "counted anew");
    }

    #[test]
    fn a_member_without_partitions_is_one_where_the_broker_assigns() {
        let settled = SETTLED.as_millis() as i64;
        let mut membership = Membership::new(true);
        assert_eq!(membership.seen(&group("up", "init", settled - 1), Instant::now()), Standing::Joining);
        assert_eq!(membership.seen(&group("up", "init", settled), Instant::now()), Standing::In);
        let mut classic = Membership::new(false);
        assert_eq!(
            classic.seen(&group("up", "init", settled), Instant::now()),
            Standing::Joining,
            "it is refused, or waits"
        );
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        for (code, words) in [
            (Code::InconsistentGroupProtocol, "kafka.group_id"),
            (Code::InvalidSessionTimeout, "kafka.session_timeout"),
            (Code::GroupMaxSizeReached, "group.max.size"),
            (Code::FencedInstanceId, "group.instance.id"),
            (Code::UnsupportedAssignor, "group.remote.assignor"),
            (Code::GroupAuthorizationFailed, "grant READ"),
        ] {
            assert!(refusal(code).unwrap().contains(words), "{code:?}");
        }
        assert!(fatal_advice(Code::UnsupportedVersion).contains("\"classic\""));
        assert!(is_refusal(Code::InvalidRequest, "JoinGroup failed: Broker: Invalid request"));
        assert!(!is_refusal(Code::RebalanceInProgress, "JoinGroup failed: Broker: Group rebalance in progress"));
        assert!(!is_refusal(Code::InvalidRequest, "Commit failed"));
    }
}
