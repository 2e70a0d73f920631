//! The requirements on settings.

use std::io::Write;
use std::time::Duration;

use super::names::SECTIONS;
use super::{Fault, Faults, GroupProtocol, OnRetentionGap, Origin, Settings};

mod dispatch;
mod documents;
mod properties;

const GROUP: &str = "[kafka]\ngroup_id = \"g\"\n";

fn load(file: &str, env: &[(&str, &str)]) -> Result<Settings, Faults> {
    let mut on_disk = tempfile::NamedTempFile::new().unwrap();
    on_disk.write_all(file.as_bytes()).unwrap();
    Settings::load(Some(on_disk.path()), env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
}

fn faults(file: &str, env: &[(&str, &str)]) -> Vec<Fault> {
    load(file, env).expect_err("settings must be refused").0
}

/// The faults as `setting: message`, without their origin.
fn messages(file: &str, env: &[(&str, &str)]) -> Vec<String> {
    faults(file, env).into_iter().map(|fault| format!("{}: {}", fault.setting, fault.message)).collect()
}

/// Exactly one fault, of `setting`, whose message contains `part`.
#[track_caller]
fn refused(file: &str, setting: &str, part: &str) {
    let found = faults(file, &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].setting, setting, "{found:#?}");
    assert!(found[0].message.contains(part), "{found:#?}");
}

#[test]
fn only_the_group_id_must_be_given() {
    refused("", "kafka.group_id", "is required");
    let settings = load(GROUP, &[]).unwrap();
    let mut expected = Settings::default();
    expected.kafka.group_id = "g".into();
    assert_eq!(settings, expected);
}

#[test]
fn no_file_is_needed_when_the_environment_says_it_all() {
    let env = [("HANDBACK__KAFKA__GROUP_ID".to_owned(), "g".to_owned()), ("HOME".to_owned(), "/root".to_owned())];
    assert_eq!(Settings::load(None, env.into_iter()).unwrap().kafka.group_id, "g");
}

#[test]
fn a_file_that_is_not_there_is_a_fault_that_names_it() {
    let Err(Faults(found)) = Settings::load(Some("/nowhere/handback.toml".as_ref()), std::iter::empty()) else {
        panic!("must be refused");
    };
    assert!(found[0].to_string().starts_with("cannot read settings file /nowhere/handback.toml"), "{found:?}");
}

#[test]
fn the_environment_overrides_the_file_field_by_field() {
    let file = "[kafka]\ngroup_id = \"g\"\nbrokers = \"file:9092\"\n[bridge]\nworkers = 2\n";
    let env = [
        ("HANDBACK__KAFKA__BROKERS", "a:9092,b:9092"),
        ("HANDBACK__KAFKA__GROUP_PROTOCOL", "consumer"),
        ("HANDBACK__TOPICS__REPLIES", "one, two"),
        ("HANDBACK__TOPICS__ON_RETENTION_GAP", "continue"),
        ("HANDBACK__BRIDGE__DRAIN_TIMEOUT", "3s"),
        ("HANDBACK__RETRY__JITTER", "0.25"),
        ("HANDBACK__DEAD_LETTERS__TIMED_OUT", "false"),
        ("HANDBACK__ADMIN__LISTEN", "off"),
        ("HANDBACK__CADENCE__CA_FILE", ""),
    ];
    let settings = load(file, &env).unwrap();
    assert_eq!(settings.kafka.brokers, "a:9092,b:9092");
    assert_eq!(settings.kafka.group_id, "g");
    assert_eq!(settings.kafka.group_protocol, GroupProtocol::Consumer);
    assert_eq!(settings.topics.replies, ["one", "two"]);
    assert_eq!(settings.topics.on_retention_gap, OnRetentionGap::Continue);
    assert_eq!(settings.bridge.workers, 2);
    assert_eq!(settings.bridge.drain_timeout, Duration::from_secs(3));
    assert_eq!(settings.retry.jitter, 0.25);
    assert!(!settings.dead_letters.timed_out);
    assert_eq!(settings.admin.listen, None);
    assert_eq!(settings.cadence.ca_file, None);
}

#[test]
fn every_fault_of_file_and_environment_is_told_at_once() {
    let file = "\
[kafka]
brokers = 7
session_timeout = \"soon\"
groupid = \"g\"

[cadence]
endpoint = \"localhost:7833\"

[bridge]
workers = \"two\"

[outcomes]
x = 1
";
    let env = [("HANDBACK__RETRY__MAX_ATTEMPTS", "many"), ("HANDBACK__BRIDGE__WORKER", "1")];
    let found = messages(file, &env).join("\n");
    for part in [
        "kafka.brokers: invalid type: integer `7`, expected a string",
        "kafka.session_timeout: \"soon\" is no duration",
        "kafka.groupid: unknown setting; did you mean kafka.group_id?",
        "kafka.group_id: is required",
        "cadence.endpoint: must begin with http:// or https://",
        "bridge.workers: invalid type: string \"two\"",
        "outcomes: unknown setting; `handback settings` lists them all",
        "retry.max_attempts: invalid type: string \"many\"",
        "no setting goes by this name; did you mean HANDBACK__BRIDGE__WORKERS?",
    ] {
        assert!(found.contains(part), "missing {part:?} in:\n{found}");
    }
    assert_eq!(found.lines().count(), 9, "{found}");
}

#[test]
fn a_fault_says_where_it_was_written() {
    let found = faults("# comment\n[kafka]\ngroup_id = \"g\"\n[bridge]\n\nworkers = 0\n", &[]);
    assert!(matches!(&found[0].origin, Origin::File { line: 6, .. }), "{found:?}");
    assert!(found[0].to_string().ends_with(":6)"), "{}", found[0]);
    let found = faults(GROUP, &[("HANDBACK__BRIDGE__WORKERS", "0")]);
    assert_eq!(
        found[0].to_string(),
        "bridge.workers: must be between 1 and 64 (environment variable HANDBACK__BRIDGE__WORKERS)"
    );
    let found = faults("[kafka]\ngroup_id = \n", &[]);
    assert!(matches!(&found[0].origin, Origin::File { line: 2, .. }), "{found:?}");
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_right_one() {
    for (file, setting, part) in [
        ("[kafka]\ngroup_id = \"g\"\nbroker = \"b\"\n", "kafka.broker", "did you mean kafka.brokers?"),
        ("[kafka]\ngroup_id = \"g\"\nendpoint = \"b\"\n", "kafka.endpoint", "did you mean cadence.endpoint?"),
        ("[kafka]\ngroup_id = \"g\"\n[deadletters]\n", "deadletters", "did you mean [dead_letters]?"),
        (
            "dead_letters_topic = \"x\"\n[kafka]\ngroup_id = \"g\"\n",
            "dead_letters_topic",
            "did you mean topics.dead_letters?",
        ),
        ("[kafka]\ngroup_id = \"g\"\nsasl.password = \"b\"\n", "kafka.sasl", "[kafka.properties]"),
        ("[kafka]\ngroup_id = \"g\"\nqwertz = 1\n", "kafka.qwertz", "`handback settings` lists them all"),
        ("log = \"info\"\n[kafka]\ngroup_id = \"g\"\n", "log", "is a section"),
    ] {
        refused(file, setting, part);
    }
}

#[test]
fn librdkafka_properties_may_be_written_as_people_write_them() {
    let file = "\
[kafka]
group_id = \"g\"
[kafka.properties]
security.protocol = \"SASL_SSL\"
sasl.mechanisms = \"PLAIN\"
sasl.password = \"from the file\"
\"ssl.ca.location\" = \"/ca.pem\"
socket.timeout.ms = 5000
log.connection.close = false
";
    let settings = load(file, &[("HANDBACK__KAFKA__PROPERTIES__SASL_PASSWORD", "from the environment")]).unwrap();
    let given: Vec<_> = settings.kafka.properties.iter().collect();
    assert_eq!(
        given,
        [
            ("log.connection.close", "false"),
            ("sasl.mechanisms", "PLAIN"),
            ("sasl.password", "from the environment"),
            ("security.protocol", "SASL_SSL"),
            ("socket.timeout.ms", "5000"),
            ("ssl.ca.location", "/ca.pem"),
        ]
    );
    refused(&format!("{GROUP}[kafka.properties]\nx = [1]\n"), "kafka.properties", "`x` must be text");
}

#[test]
fn draining_and_revoking_end_before_the_session_does() {
    for field in ["drain_timeout", "revoke_timeout"] {
        let file = |timeout: &str| format!("{GROUP}session_timeout = \"30s\"\n[bridge]\n{field} = \"{timeout}\"\n");
        load(&file("29s 999ms"), &[]).unwrap();
        refused(&file("30s"), &format!("bridge.{field}"), "30s must be below kafka.session_timeout (30s)");
        refused(&file("31s"), &format!("bridge.{field}"), "must be below");
        let brokers_own = [("HANDBACK__KAFKA__GROUP_PROTOCOL", "consumer")];
        load(&file("31s"), &brokers_own).unwrap();
    }
}

#[test]
fn a_value_that_could_not_be_read_raises_no_second_fault() {
    refused(
        &format!("{GROUP}session_timeout = \"x\"\n[bridge]\ndrain_timeout = \"50s\"\n"),
        "kafka.session_timeout",
        "no duration",
    );
    refused("[kafka]\ngroup_id = 3\n", "kafka.group_id", "invalid type");
}

#[test]
fn no_topic_serves_two_purposes() {
    refused(
        &format!("{GROUP}[topics]\noutcomes = \"activity-replies\"\n"),
        "topics.outcomes",
        "here and in topics.replies",
    );
    refused(&format!("{GROUP}[topics]\nreplies = [\"a\", \"a\"]\n"), "topics.replies", "used twice");
    refused(
        &format!("{GROUP}[topics]\ndead_letters = \"activity-requests\"\n"),
        "topics.dead_letters",
        "topics.requests",
    );
    refused(
        &format!("{GROUP}[topics]\noutcomes = \"o-30s\"\nretry = [\"o-30s\"]\n"),
        "topics.retry",
        "here and in topics.outcomes",
    );
}

#[test]
fn values_that_cannot_work_are_refused() {
    for (section, field, value, part) in [
        ("topics", "replies", "[]", "no topic to read"),
        ("topics", "outcomes", "\"a b\"", "is no topic name"),
        ("topics", "require_json", "[\"other\"]", "not one of topics.replies"),
        ("topics", "retry", "[\"r-5m\", \"r-30s\"]", "shortest first"),
        ("topics", "retry", "[\"r-0s\"]", "does not end in its delay"),
        ("cadence", "endpoint", "\"http://h\"", "host and port"),
        ("cadence", "endpoint", "\"http://h:0\"", "host and port"),
        ("cadence", "endpoint", "\"http://h:1/x\"", "only"),
        ("cadence", "endpoint", "\"grpc://h:1\"", "http://"),
        ("cadence", "connections", "0", "at least 1"),
        ("cadence", "call_timeout", "\"0s\"", "longer than nothing"),
        ("cadence", "ca_file", "\"/ca.pem\"", "https://"),
        ("bridge", "workers", "65", "between 1 and 64"),
        ("bridge", "workers", "-1", "invalid value"),
        ("bridge", "max_in_flight", "0", "at least 1"),
        ("bridge", "max_in_flight_bytes", "1000", "at least one payload"),
        ("retry", "initial", "\"3s\"", "must not exceed retry.max"),
        ("retry", "multiplier", "0.5", "1.0 or more"),
        ("retry", "jitter", "1.5", "between 0.0 and 1.0"),
        ("lookup", "max_pages", "0", "at least 1"),
        ("lookup", "timeout", "\"0s\"", "longer than nothing"),
        ("breaker", "failure_share", "0.0", "above 0.0"),
        ("flood", "share", "1.1", "at most 1.0"),
        ("flood", "pause", "\"10m\"", "must not exceed flood.max_pause"),
        ("flood", "trial", "0", "at least 1"),
        ("admin", "listen", "\"localhost\"", "IP and port"),
        ("log", "filter", "\"handback=loud\"", "level filter"),
        ("log", "format", "\"xml\"", "expected `text` or `json`"),
    ] {
        refused(&format!("{GROUP}[{section}]\n{field} = {value}\n"), &format!("{section}.{field}"), part);
    }
}

#[test]
fn certificate_and_key_come_together() {
    let file = |line: &str| format!("{GROUP}[cadence]\nendpoint = \"https://cadence:7833\"\n{line}");
    load(&file("cert_file = \"c\"\nkey_file = \"k\"\nca_file = \"a\"\ntls_domain = \"d\"\n"), &[]).unwrap();
    refused(&file("cert_file = \"c\"\n"), "cadence.cert_file", "needs cadence.key_file");
    refused(&file("key_file = \"k\"\n"), "cadence.key_file", "needs cadence.cert_file");
}

#[test]
fn secrets_are_in_no_dump() {
    let file = "\
[kafka]
group_id = \"g\"
[kafka.properties]
sasl.password = \"hush-1\"
ssl.key.password = \"hush-2\"
ssl.key.pem = \"hush-3\"
sasl.oauthbearer.client.secret = \"hush-4\"
sasl.jaas.config = \"hush-5\"
ssl.key.location = \"/visible/key\"
sasl.oauthbearer.token.endpoint.url = \"https://visible/token\"
[cadence]
authorization = \"hush-6\"
";
    let settings = load(file, &[]).unwrap();
    assert_eq!(settings.cadence.authorization.as_ref().unwrap().expose(), "hush-6");
    assert_eq!(settings.kafka.properties.get("sasl.password"), Some("hush-1"));
    for dump in [settings.to_toml(), format!("{settings:?}"), serde_json::to_string(&settings).unwrap()] {
        assert!(!dump.contains("hush"), "{dump}");
        assert!(
            dump.contains("[redacted]") && dump.contains("/visible/key") && dump.contains("visible/token"),
            "{dump}"
        );
    }
}

#[test]
fn what_is_printed_as_effective_loads_to_the_same() {
    let mut settings = Settings::default();
    settings.kafka.group_id = "g".into();
    settings.kafka.properties.set("security.protocol", "ssl");
    settings.cadence.endpoint = "https://h:1".into();
    settings.cadence.ca_file = Some("/ca.pem".into());
    settings.bridge.drain_timeout = Duration::from_millis(1500);
    assert_eq!(load(&settings.to_toml(), &[]).unwrap(), settings);
}

#[test]
fn the_reference_lists_every_setting_with_its_default() {
    let reference = Settings::reference().replace("group_id = \"\"", "group_id = \"g\"");
    let mut expected = Settings::default();
    expected.kafka.group_id = "g".into();
    assert_eq!(load(&reference, &[]).unwrap(), expected);
}

#[test]
fn names_and_explanations_are_those_of_the_fields() {
    let defaults = toml::Table::try_from(Settings::default()).unwrap();
    let fields: Vec<String> = defaults
        .iter()
        .flat_map(|(section, fields)| fields.as_table().unwrap().keys().map(move |field| format!("{section}.{field}")))
        .collect();
    let mut named: Vec<String> =
        SECTIONS.iter().flat_map(|s| s.fields.iter().map(move |(field, _)| format!("{}.{field}", s.name))).collect();
    named.sort();
    let mut fields = fields;
    fields.sort();
    assert_eq!(named, fields);
    for (field, about) in SECTIONS.iter().flat_map(|section| section.fields) {
        assert!(about.trim_end().ends_with('.') && !about.contains('|'), "{field}: {about:?}");
    }
}

#[test]
fn asyncapi_has_the_topics_of_the_default_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/asyncapi.yaml");
    let document: serde_json::Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let channels = document["channels"].as_object().unwrap().values();
    let mut described: Vec<_> = channels.map(|channel| channel["address"].as_str().unwrap()).collect();
    let topics = Settings::default().topics;
    let mut expected = vec![&*topics.requests, &topics.outcomes, &topics.dead_letters];
    expected.extend(topics.replies.iter().chain(&topics.retry).map(String::as_str));
    described.sort_unstable();
    expected.sort_unstable();
    assert_eq!(described, expected);
}
