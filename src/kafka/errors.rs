//! What librdkafka complains about, as conditions an operator can act on. Wrong credentials, for one, are told only
//! through the error callback: no poll and no delivery ever says so.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::membership;

/// A client could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// librdkafka refused the properties, or a library it needs is missing.
    #[error("cannot create the Kafka client")]
    Client(#[source] KafkaError),
    /// The topics cannot be subscribed to.
    #[error("cannot subscribe to the reply topics")]
    Subscribe(#[source] KafkaError),
    /// The operating system gave no thread.
    #[error("cannot start a thread of the Kafka client")]
    Thread(#[source] io::Error),
}

/// Something that keeps the process from being ready, or the end of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It began, or its reason changed. Told again as often as Kafka repeats it.
    Raised {
        /// Stable name, different for each client: `kafka/<client>/<kind>`.
        key: String,
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// It is over.
    Cleared {
        /// The key it was raised under.
        key: String,
    },
}

/// Who hears what happens in the Kafka clients. Called on the clients' threads: must be quick and must not panic.
pub trait Observer: Send + Sync + 'static {
    /// Readiness changes.
    fn condition(&self, _condition: Condition) {}
    /// The group coordinator holds this offset (next to read) now.
    fn committed(&self, _topic: &str, _partition: i32, _offset: i64) {}
    /// Offsets were not committed: they are tried again, unless their partition leaves first.
    fn not_committed(&self) {}
    /// Records below the high watermark that are not settled here yet.
    fn lag(&self, _topic: &str, _partition: i32, _records: i64) {}
    /// How long its settled position has stood still although there is more behind it; zero when there is nothing. Told with
    /// the lag.
    fn standing(&self, _topic: &str, _partition: i32, _still: Duration) {}
    /// The partition is no longer ours; its lag says nothing any more.
    fn left(&self, _topic: &str, _partition: i32) {}
    /// An offset came for a partition that had already left; it was dropped, which is right.
    fn late_store(&self) {}
}

/// An observer that hears nothing.
impl Observer for () {}

/// The condition of whoever is not in its group.
const GROUP: &str = "group";

/// What kind of trouble an error code is. Only codes that an operator can act on have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Cleared as soon as any broker talks to us.
    Connection(&'static str, &'static str),
    /// Cleared by membership in the group.
    Group(&'static str),
    /// Cleared when the topic can be seen.
    Topic(&'static str),
}

/// All codes that make a client unready. Others heal inside librdkafka and are logged only.
fn kind(code: Code) -> Option<Kind> {
    Some(match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => Kind::Connection(
            "authentication",
            "the brokers refuse our credentials: check sasl.mechanism, sasl.username and sasl.password in [kafka.properties]",
        ),
        Code::AllBrokersDown => Kind::Connection(
            "brokers",
            "no broker can be reached: check kafka.brokers, the network, and security.protocol in [kafka.properties]",
        ),
        Code::Resolve => Kind::Connection(
            "resolve",
            "a broker's host name does not resolve: check kafka.brokers and the brokers' advertised.listeners",
        ),
        Code::SSL => Kind::Connection(
            "tls",
            "the TLS handshake fails: check security.protocol and ssl.ca.location in [kafka.properties]",
        ),
        Code::TopicAuthorizationFailed => {
            Kind::Topic("no permission for the topic, or it does not exist: grant READ and DESCRIBE on it")
        }
        Code::UnknownTopicOrPartition | Code::UnknownTopic => {
            Kind::Topic("the topic does not exist: create it with `handback topics create`")
        }
        code => return membership::refusal(code).map(Kind::Group),
    })
}

/// How librdkafka begins when it has no token to show to a broker.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";
const TOKEN_ADVICE: &str = "no broker is talked to for want of a token: check sasl.oauthbearer.token.endpoint.url, .client.id and \
                            .client.secret in [kafka.properties], and what the endpoint says";

/// What is wrong with one client at present.
pub(super) struct Conditions {
    client: String,
    topics: Arc<[Arc<str>]>,
    observer: Arc<dyn Observer>,
    /// By kind, and for topics by `topic/<name>`.
    raised: Mutex<BTreeMap<String, ClearedBy>>,
}

/// What clears a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClearedBy {
    Connection,
    /// The same, and nothing is wrong yet.
    Joining,
    Group,
    Topic,
    Name,
}

impl Conditions {
    pub(super) fn new(client: &str, topics: Arc<[Arc<str>]>, observer: Arc<dyn Observer>) -> Self {
        Self { client: client.to_owned(), topics, observer, raised: Mutex::default() }
    }

    /// Takes a code and librdkafka's text for it.
    pub(super) fn heard(&self, code: Code, text: &str) {
        match kind(code) {
            Some(Kind::Connection(..)) if text.contains(NO_TOKEN) => {
                self.put("token", ClearedBy::Connection, format!("{TOKEN_ADVICE} ({text})"));
            }
            Some(Kind::Connection(name, advice)) => {
                self.put(name, ClearedBy::Connection, format!("{advice} ({text})"));
            }
            Some(Kind::Group(advice)) => self.put(GROUP, ClearedBy::Group, format!("{advice} ({text})")),
            None if membership::is_refusal(code, text) => {
                let reason = format!("the group does not take this process in: the brokers' log says more ({text})");
                self.put(GROUP, ClearedBy::Group, reason);
            }
            Some(Kind::Topic(advice)) => {
                // The text is "Subscribed topic not available: <name>: <error>"; with KIP-848 it names none.
                let name = self.topics.iter().find(|t| text.split([' ', ':']).any(|word| word == &***t));
                let key = name.map_or_else(|| "topic".to_owned(), |t| format!("topic/{t}"));
                let all = || self.topics.join(", ");
                let named = name.map_or_else(all, ToString::to_string);
                self.put(&key, ClearedBy::Topic, format!("{named}: {advice} ({text})"));
            }
            None => tracing::debug!(client = %self.client, ?code, text, "Kafka client error"),
        }
    }

    /// Raises a condition that only [`Conditions::clear`] ends.
    pub(super) fn raise(&self, name: &str, reason: String) {
        self.put(name, ClearedBy::Name, reason);
    }

    /// The group has not taken us in yet: nothing is read, and nothing is wrong so far.
    pub(super) fn joining(&self, reason: String) {
        self.put(GROUP, ClearedBy::Joining, reason);
    }

    /// The group has let us go, or does not let us in again.
    pub(super) fn out_of_group(&self, reason: String) {
        self.put(GROUP, ClearedBy::Group, reason);
    }

    /// Ends a condition, if it was raised.
    pub(super) fn clear(&self, name: &str) {
        self.clear_where(|key, _| key == name);
    }

    /// A broker answered.
    pub(super) fn connected(&self) {
        self.clear_where(|_, by| by == ClearedBy::Connection);
    }

    /// The group took us in, and a broker has just said so.
    pub(super) fn member(&self) {
        self.connected();
        self.in_group();
    }

    /// We are in the group as far as the client knows.
    pub(super) fn in_group(&self) {
        self.clear_where(|_, by| matches!(by, ClearedBy::Joining | ClearedBy::Group));
    }

    /// The topic can be seen.
    pub(super) fn topic_seen(&self, topic: &str) {
        self.clear_where(|key, by| by == ClearedBy::Topic && key.strip_prefix("topic/") == Some(topic));
    }

    /// All topics can be seen.
    pub(super) fn topics_seen(&self) {
        self.clear_where(|_, by| by == ClearedBy::Topic);
    }

    /// Whether some topic is missing or forbidden.
    pub(super) fn topic_trouble(&self) -> bool {
        self.locked().values().any(|by| *by == ClearedBy::Topic)
    }

    fn put(&self, name: &str, by: ClearedBy, reason: String) {
        let before = self.locked().insert(name.to_owned(), by);
        if by == ClearedBy::Joining {
            tracing::info!(client = %self.client, reason, "joining the group");
        } else if before.is_none_or(|before| before == ClearedBy::Joining) {
            tracing::error!(client = %self.client, condition = name, reason, "Kafka trouble");
        }
        self.observer.condition(Condition::Raised { key: self.key(name), reason });
    }

    fn clear_where(&self, over: impl Fn(&str, ClearedBy) -> bool) {
        let mut ended = Vec::new();
        self.locked().retain(|name, by| {
            let ends = over(name, *by);
            if ends {
                ended.push(name.clone());
            }
            !ends
        });
        for name in ended {
            tracing::info!(client = %self.client, condition = name, "Kafka trouble is over");
            self.observer.condition(Condition::Cleared { key: self.key(&name) });
        }
    }

    fn key(&self, name: &str) -> String {
        format!("kafka/{}/{name}", self.client)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, ClearedBy>> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// librdkafka's log lines. It logs each lost connection as an error; for us the conditions above are the errors.
pub(super) fn log(client: &str, level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", client, facility, "{line}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "librdkafka", client, facility, "{line}");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", client, facility, "{line}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", client, facility, "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Raised keys and reasons.
    #[derive(Default)]
    struct Ear(Mutex<BTreeMap<String, String>>);

    impl Observer for Ear {
        fn condition(&self, condition: Condition) {
            let mut heard = self.0.lock().unwrap();
            match condition {
                Condition::Raised { key, reason } => heard.insert(key, reason),
                Condition::Cleared { key } => heard.remove(&key),
            };
        }
    }

    fn conditions() -> (Arc<Ear>, Conditions) {
        let ear = Arc::new(Ear::default());
        (ear.clone(), Conditions::new("consumer-0", ["replies".into(), "replies-eu".into()].into(), ear))
    }

    fn keys(ear: &Ear) -> Vec<String> {
        ear.0.lock().unwrap().keys().cloned().collect()
    }

    #[test]
    fn wrong_credentials_are_heard_and_forgotten_once_a_broker_lets_us_in() {
        let (ear, conditions) = conditions();
        let text = "sasl_plaintext://k:9092/bootstrap: SASL authentication error: Authentication failed during \
                    authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256";
        conditions.heard(Code::Authentication, text);
        let reason = ear.0.lock().unwrap()["kafka/consumer-0/authentication"].clone();
        assert!(reason.contains("sasl.password") && reason.contains("SCRAM-SHA-256"), "{reason}");
        conditions.connected();
        assert!(keys(&ear).is_empty());
    }

    #[test]
    fn each_condition_ends_with_its_own_proof() {
        let (ear, conditions) = conditions();
        conditions.heard(Code::AllBrokersDown, "1/1 brokers are down");
        conditions.heard(Code::SSL, "handshake failed");
        conditions.heard(Code::GroupAuthorizationFailed, "FindCoordinator response error");
        conditions.heard(Code::TopicAuthorizationFailed, "Subscribed topic not available: replies-eu: Broker: no");
        conditions.heard(Code::TopicAuthorizationFailed, "ConsumerGroupHeartbeat failed: Broker: no");
        conditions.raise("position/replies/0", "a gap".to_owned());
        conditions.connected();
        let after =
            ["group", "position/replies/0", "topic", "topic/replies-eu"].map(|k| format!("kafka/consumer-0/{k}"));
        assert_eq!(keys(&ear), after);
        conditions.member();
        conditions.topic_seen("replies");
        assert_eq!(keys(&ear).len(), 3, "another topic proves nothing");
        conditions.topic_seen("replies-eu");
        conditions.topics_seen();
        assert_eq!(keys(&ear), ["kafka/consumer-0/position/replies/0"]);
        conditions.clear("position/replies/0");
        assert!(keys(&ear).is_empty());
    }

    #[test]
    fn trouble_that_heals_by_itself_makes_nobody_unready() {
        let (ear, conditions) = conditions();
        for code in [Code::BrokerTransportFailure, Code::OperationTimedOut, Code::PollExceeded, Code::AutoOffsetReset] {
            conditions.heard(code, "");
        }
        assert!(keys(&ear).is_empty());
    }
}
