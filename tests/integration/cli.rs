//! The `handback` command as people and supervisors meet it.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

const TOPICS: [&str; 7] = [
    "activity-requests",
    "activity-replies",
    "activity-outcomes",
    "activity-replies-retry-30s",
    "activity-replies-retry-5m",
    "activity-replies-retry-1h",
    "activity-replies-dlq",
];

/// A token as the engine writes it; the promise is that it is seen nowhere.
const TOKEN: &str = r#"{"domainId":"0191aaaa-c4f1-7204-8000-000000000001","workflowId":"order-17","runId":"5f1e0f5e-1111-4222-8333-444455556666","scheduleId":5,"scheduleAttempt":0,"activityId":"3","workflowType":"W","activityType":"A"}"#;

fn token() -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(TOKEN)
}

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handback"));
    command.args(args).env_clear().envs(env.iter().copied());
    command
}

fn handback(args: &[&str], env: &[(&str, &str)]) -> Ended {
    command(args, env).output().unwrap().into()
}

/// Runs the command with `input` on its standard input.
fn piped(args: &[&str], env: &[(&str, &str)], input: &str) -> Ended {
    let mut child =
        command(args, env).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

/// An address where nobody listens: it was free a moment ago.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A broker with the topics of the contract.
fn broker() -> MockCluster<'static, rdkafka::producer::DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    for topic in TOPICS {
        cluster.create_topic(topic, 3, 1).unwrap();
    }
    cluster
}

#[test]
fn every_fault_of_the_settings_is_told_on_a_line_and_ends_with_64() {
    let env = [("HANDBACK__BRIDGE__WORKERS", "0"), ("HANDBACK__CADENCE__ENDPOINT", "cadence:7833")];
    for command in ["run", "check"] {
        let ended = handback(&[command], &env);
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{}", ended.err);
        let lines: Vec<&str> = ended.err.lines().collect();
        assert_eq!(lines.len(), 3, "{}", ended.err);
        assert!(lines.iter().all(|line| line.starts_with("handback: ")), "{}", ended.err);
        assert!(ended.err.contains("kafka.group_id: is required"), "{}", ended.err);
    }
}

#[test]
fn dispatching_needs_routes_and_no_group() {
    let ended = handback(&["dispatch"], &[]);
    assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{}", ended.err);
    assert!(ended.err.starts_with("handback: dispatch.routes: is required"), "{}", ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    let env = [("HANDBACK__KAFKA__GROUP_ID", "g"), ("HANDBACK__DISPATCH__ENABLED", "true")];
    let ended = handback(&["run"], &env);
    assert!(ended.code == 64 && ended.err.starts_with("handback: dispatch.routes: is required"), "{}", ended.err);
}

#[test]
fn what_only_dispatches_is_checked_without_a_group() {
    let cluster = broker();
    let (brokers, engine) = (cluster.bootstrap_servers(), format!("http://{}", nobody()));
    let routes = r#"[{domain = "orders", task_list = "list", activity_type = "*", topic = "charges"}]"#;
    let env = [
        ("HANDBACK__DISPATCH__ROUTES", routes),
        ("HANDBACK__KAFKA__BROKERS", brokers.as_str()),
        ("HANDBACK__CADENCE__ENDPOINT", engine.as_str()),
    ];
    let ended = handback(&["check", "--json"], &env);
    assert_eq!(ended.code, 1, "{}", ended.err);
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let told = report["findings"].to_string();
    assert!(told.contains("`handback dispatch` needs none"), "{told}");
    assert_eq!(report["summary"]["fault"], 2, "the engine and the topic that a route leads to: {told}");
}

#[test]
fn usage_that_is_not_understood_ends_with_64_and_help_with_0() {
    for args in [&["bogus"][..], &[], &["reply", "complete"], &["reply", "complete", "--token", "x"]] {
        let ended = handback(args, &[]);
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{args:?}: {}", ended.err);
    }
    for args in [&["--help"][..], &["--version"], &["reply", "fail", "--help"]] {
        assert_eq!(handback(args, &[]).code, 0, "{args:?}");
    }
}

#[test]
fn a_property_that_librdkafka_does_not_know_is_refused_before_anything_starts() {
    let env = [
        ("HANDBACK__KAFKA__GROUP_ID", "g"),
        ("HANDBACK__KAFKA__PROPERTIES__SASL_PASSWROD", "hush"),
        ("HANDBACK__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "tls"),
    ];
    let ended = handback(&["run"], &env);
    assert_eq!(ended.code, 64, "{}", ended.err);
    assert!(ended.err.contains("kafka.properties.sasl.passwrod: "), "{}", ended.err);
    assert!(ended.err.contains("kafka.properties.security.protocol: "), "{}", ended.err);
}

#[test]
fn settings_shows_a_file_to_start_from_and_what_is_in_effect() {
    let ended = handback(&["settings"], &[]);
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("\n[bridge]\n") && ended.out.contains("\nworkers = 1\n"), "{}", ended.out);
    let env = [("HANDBACK__BRIDGE__WORKERS", "3"), ("HANDBACK__CADENCE__AUTHORIZATION", "hush")];
    let ended = handback(&["settings", "--effective"], &env);
    assert!(ended.out.contains("\nworkers = 3\n") && ended.out.contains("\"[redacted]\""), "{}", ended.out);
    assert!(!ended.out.contains("hush"), "{}", ended.out);
}

#[test]
fn check_names_what_does_not_answer_and_ends_with_1() {
    let (brokers, engine) = (nobody(), format!("http://{}", nobody()));
    let env = [
        ("HANDBACK__KAFKA__GROUP_ID", "g"),
        ("HANDBACK__KAFKA__BROKERS", brokers.as_str()),
        ("HANDBACK__KAFKA__METADATA_TIMEOUT", "1s"),
        ("HANDBACK__CADENCE__ENDPOINT", engine.as_str()),
        ("HANDBACK__KAFKA__PROPERTIES__SASL_PASSWORD", "hush"),
    ];
    let ended = handback(&["check"], &env);
    assert_eq!(ended.code, 1, "{}", ended.err);
    for part in ["FAULT  brokers", "kafka.brokers is right", "FAULT  frontend", &engine, "2 faults", "[redacted]"] {
        assert!(ended.out.contains(part), "missing {part:?} in:\n{}", ended.out);
    }
    assert!(!ended.out.contains("hush") && !ended.out.contains('\u{1b}'), "{}", ended.out);
}

#[test]
fn check_says_what_a_broker_does_not_tell() {
    let cluster = broker();
    let (brokers, engine) = (cluster.bootstrap_servers(), format!("http://{}", nobody()));
    let env = [
        ("HANDBACK__KAFKA__GROUP_ID", "g"),
        ("HANDBACK__KAFKA__BROKERS", brokers.as_str()),
        ("HANDBACK__CADENCE__ENDPOINT", engine.as_str()),
    ];
    let ended = handback(&["check", "--json"], &env);
    assert_eq!(ended.code, 1, "nobody is at the engine's address: {}", ended.err);
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(report["settings"]["kafka"]["group_id"], "g");
    let findings = report["findings"].as_array().unwrap();
    let level = |area: &str, subject: &str| {
        let found = findings.iter().find(|f| f["area"] == area && f["subject"] == subject);
        found.unwrap_or_else(|| panic!("{subject} in {findings:#?}"))["level"].as_str().unwrap().to_owned()
    };
    assert_eq!(level("kafka", "brokers"), "warn", "one broker only");
    assert_eq!(level("kafka", "group"), "ok");
    assert!(TOPICS.iter().all(|topic| level("topics", topic) == "ok"), "{findings:#?}");
    assert_eq!(level("topics", "settings"), "warn", "the mock cluster knows no DescribeConfigs");
    assert_eq!(level("engine", "frontend"), "fault");
    assert_eq!(report["summary"]["fault"], 1, "{findings:#?}");
}

#[test]
fn topics_are_printed_for_strimzi_without_asking_a_broker() {
    let env = [("HANDBACK__TOPICS__OUTCOMES", "Orders_outcomes"), ("HANDBACK__KAFKA__BROKERS", "nowhere.invalid:1")];
    let ended = handback(&["topics", "create", "--yaml", "--partitions", "6", "--strimzi-cluster", "main"], &env);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let documents: Vec<serde_json::Value> =
        ended.out.split("---\n").skip(1).map(|yaml| serde_saphyr::from_str(yaml).unwrap()).collect();
    assert_eq!(documents.len(), TOPICS.len());
    for document in &documents {
        assert_eq!(document["kind"], "KafkaTopic");
        assert_eq!(document["metadata"]["labels"]["strimzi.io/cluster"], "main");
        assert_eq!(document["spec"]["partitions"], 6);
        assert_eq!(document["spec"]["replicas"], 3);
        assert_eq!(document["spec"]["config"]["cleanup.policy"], "delete");
        assert_eq!(document["spec"]["config"]["min.insync.replicas"], 2);
    }
    assert_eq!(documents[2]["metadata"]["name"], "orders-outcomes");
    assert_eq!(documents[2]["spec"]["topicName"], "Orders_outcomes");
}

#[test]
fn topics_that_exist_are_left_alone() {
    let cluster = broker();
    let brokers = cluster.bootstrap_servers();
    let ended = handback(&["topics", "create"], &[("HANDBACK__KAFKA__BROKERS", brokers.as_str())]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(ended.out.matches("exists, left as it is").count(), TOPICS.len(), "{}", ended.out);
}

#[test]
fn what_a_broker_cannot_create_is_told_before_anything_is_tried() {
    let cluster = broker();
    let brokers = cluster.bootstrap_servers();
    let env = [("HANDBACK__KAFKA__BROKERS", brokers.as_str()), ("HANDBACK__TOPICS__OUTCOMES", "missing")];
    let ended = handback(&["topics", "create"], &env);
    assert_eq!(ended.code, 64, "{}", ended.out);
    assert!(ended.err.contains("only 1 broker") && ended.err.contains("--replication-factor 1"), "{}", ended.err);
    let ended = handback(&["topics", "create", "--replication-factor", "1"], &env);
    assert_eq!(ended.code, 1, "{}", ended.out);
    assert!(ended.err.contains("the broker does not support this request"), "{}", ended.err);
}

#[test]
fn a_reply_is_written_and_told_with_its_place() {
    let cluster = broker();
    let brokers = cluster.bootstrap_servers();
    let env = [("HANDBACK__KAFKA__BROKERS", brokers.as_str())];
    let ended = piped(&["reply", "complete", "--token", "-", "--result", "{\"a\": 1.10}"], &env, &token());
    assert_eq!(ended.code, 0, "{}", ended.err);
    let partition: i32 = {
        let (_, rest) = ended.out.split_once("written to activity-replies, partition ").unwrap();
        rest.split(',').next().unwrap().parse().unwrap()
    };
    assert!(ended.out.contains("offset 0\n"), "{}", ended.out);
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &brokers).set("group.id", "reader").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("activity-replies", partition, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let message = consumer.poll(Duration::from_secs(20)).expect("the reply must be there").unwrap();
    let value: serde_json::Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
    assert_eq!(value["task_token"], token());
    assert!(String::from_utf8_lossy(message.payload().unwrap()).contains("{\"a\": 1.10}"), "byte for byte");
}

#[test]
fn a_dry_run_shows_the_reply_without_its_token_and_writes_nothing() {
    let args = ["reply", "fail", "--token", "-", "--reason", "CardDeclined", "--details", "{\"code\":51}", "--dry-run"];
    let ended = piped(&args, &[("HANDBACK__KAFKA__BROKERS", "nowhere.invalid:1")], &token());
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("\"reason\":\"CardDeclined\""), "{}", ended.out);
    assert!(ended.out.contains("[token]") && !ended.out.contains(&token()), "{}", ended.out);
}

#[test]
fn what_a_command_shows_of_others_does_not_act_on_the_terminal() {
    const FORGED: &str = "no\nheader  handback-action: complete\u{1b}[2J\u{202e}";
    let nowhere = [("HANDBACK__KAFKA__BROKERS", "nowhere.invalid:1")];
    let args = ["reply", "fail", "--token", "-", "--reason", FORGED, "--idempotency-key", FORGED, "--dry-run"];
    let ended = piped(&[&args[..], &["--cloudevents", "binary"]].concat(), &nowhere, &token());
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("ce_failurereason: no\\nheader  handback-action"), "{}", ended.out);
    let refused = handback(&["run"], &[("HANDBACK__KAFKA__BROKERS", FORGED), ("HANDBACK__KAFKA__GROUP_ID", "g")]);
    assert_eq!(refused.code, 64, "{}", refused.err);
    assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
    for text in [ended.out, refused.err] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
}

#[test]
fn a_reply_can_be_written_as_a_cloud_event() {
    let shown = |mode: &str| {
        let args =
            ["reply", "complete", "--token", "-", "--result", "{\"a\": 1.10}", "--cloudevents", mode, "--dry-run"];
        let ended = piped(&args, &[], &token());
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.out.contains("[token]") && !ended.out.contains(&token()), "{}", ended.out);
        ended.out
    };
    let binary = shown("binary");
    assert!(binary.contains("header  ce_type: handback.reply.complete\n"), "{binary}");
    assert!(binary.contains("value   {\"a\": 1.10}\n"), "{binary}");
    let structured = shown("structured");
    assert!(structured.contains("header  content-type: application/cloudevents+json\n"), "{structured}");
    assert!(structured.contains("\"data\":{\"a\": 1.10}"), "{structured}");
    let id = |text: &str| text.split("ce_id: ").nth(1).map(|rest| rest.split('\n').next().unwrap().to_owned());
    assert!(id(&binary).is_some() && id(&binary) != id(&shown("binary")), "each has an id of its own");
}

#[test]
fn a_reply_that_handback_would_refuse_is_not_written() {
    let env = [("HANDBACK__KAFKA__BROKERS", "nowhere.invalid:1")];
    for (args, part) in [
        (&["complete", "--token", "-", "--result", "OK"][..], "--result is not JSON"),
        (&["fail", "--token", "-", "--reason", "cadenceInternal:Timeout"], "handback would refuse this"),
        (&["fail", "--token", "-", "--style", "generic", "--reason", "x"], "handback would refuse this"),
        (&["complete", "--token", "e30=", "--no-result"], "this is no task token"),
        (&["complete", "--token", "!", "--no-result"], "not base64"),
        (&["complete", "--token", "-", "--result-file", "/nowhere"], "cannot read --result-file"),
    ] {
        let args: Vec<&str> = ["reply"].iter().chain(args).copied().collect();
        let ended = piped(&args, &env, &token());
        assert_eq!(ended.code, 64, "{args:?}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains(part), "{args:?}: {}", ended.err);
        assert!(!ended.err.contains(&token()), "{args:?}: {}", ended.err);
    }
}

#[test]
fn a_reply_to_a_topic_that_does_not_exist_creates_none() {
    let cluster = broker();
    let brokers = cluster.bootstrap_servers();
    let env = [("HANDBACK__KAFKA__BROKERS", brokers.as_str())];
    for _ in 0..2 {
        let ended = piped(&["reply", "complete", "--token", "-", "--no-result", "--topic", "replis"], &env, &token());
        assert_eq!(ended.code, 1, "{}", ended.out);
        assert!(ended.err.contains("topic replis does not exist"), "{}", ended.err);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let mut child = command(&["settings"], &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}
