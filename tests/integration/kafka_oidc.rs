//! OAUTHBEARER with OIDC: a token endpoint on loopback is asked, and what it says is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use handback::config::Kafka;
use handback::kafka::{self, Producer, ProducerSpec};

use crate::kafka_support::*;

const CLIENT_SECRET: &str = "hush-of-the-client";

/// Not signed by anybody: who checks it is the broker. Its `exp` is far away.
const JWT: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJoYW5kYmFjayIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjo0MTAwMDAwMDAwfQ.";

/// What an endpoint was asked: head and body.
type Asked = (String, String);

/// A token endpoint that answers everything alike.
fn endpoint(status: &'static str, answer: String) -> (String, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/oauth/token", listener.local_addr().unwrap());
    let (asked, questions) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            if tell(stream, status, &answer, &asked).is_none() {
                return;
            }
        }
    });
    (url, questions)
}

fn tell(mut stream: TcpStream, status: &str, answer: &str, asked: &Sender<Asked>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        lines.read_line(&mut head).ok().filter(|read| *read > 0)?;
    }
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    lines.read_exact(&mut body).ok()?;
    let length = answer.len();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{answer}")
        .ok()?;
    asked.send((head, String::from_utf8(body).ok()?)).ok()
}

/// Settings that have the token fetched from `url`.
fn settings(brokers: &str, url: &str) -> Kafka {
    let mut kafka = Kafka { brokers: brokers.into(), group_id: "oidc".into(), ..Kafka::default() };
    for (name, value) in [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.method", "oidc"),
        ("sasl.oauthbearer.client.id", "handback"),
        ("sasl.oauthbearer.client.secret", CLIENT_SECRET),
        ("sasl.oauthbearer.scope", "kafka"),
        ("sasl.oauthbearer.token.endpoint.url", url),
    ] {
        kafka.properties.set(name, value);
    }
    kafka
}

fn producer(kafka: &Kafka, told: &Arc<Told>) -> Producer {
    let observer = Arc::<Told>::clone(told);
    Producer::new(ProducerSpec { name: "p".into(), config: kafka::client::producer(kafka), observer }).unwrap()
}

#[tokio::test]
async fn oidc_is_in_the_default_build_and_the_token_endpoint_is_asked() {
    let (url, questions) =
        endpoint("200 OK", format!(r#"{{"access_token": "{JWT}", "token_type": "Bearer", "expires_in": 3600}}"#));
    let broker = TcpListener::bind("127.0.0.1:0").unwrap();
    let kafka = settings(&broker.local_addr().unwrap().to_string(), &url);
    let faults = kafka::client::property_faults(&kafka);
    assert_eq!(faults, [], "librdkafka was built before .cargo/config.toml said how: cargo clean -p rdkafka-sys");
    let told = Arc::new(Told::default());
    let _producer = producer(&kafka, &told);
    let (head, body) =
        tokio::task::spawn_blocking(move || questions.recv_timeout(Duration::from_secs(60))).await.unwrap().unwrap();
    assert!(head.starts_with("POST /oauth/token HTTP/1.1\r\n"), "{head}");
    assert!(body.contains("grant_type=client_credentials") && body.contains("scope=kafka"), "{body}");
    assert_eq!(told.reason("kafka/p/token"), None);
    // The broker is approached only once there is a token.
    tokio::task::spawn_blocking(move || broker.accept().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_is_told_with_its_reason_and_without_a_secret() {
    let (url, questions) =
        endpoint("401 Unauthorized", r#"{"error": "invalid_client", "error_description": "unknown"}"#.into());
    let told = Arc::new(Told::default());
    let _producer = producer(&settings("127.0.0.1:1", &url), &told);
    tokio::task::spawn_blocking(move || questions.recv_timeout(Duration::from_secs(60))).await.unwrap().unwrap();
    until("it is told", || told.reason("kafka/p/token").is_some()).await;
    let reason = told.reason("kafka/p/token").unwrap();
    assert!(reason.contains("sasl.oauthbearer.token.endpoint.url") && reason.contains("invalid_client"), "{reason}");
    assert!(!reason.contains(CLIENT_SECRET), "{reason}");
}
