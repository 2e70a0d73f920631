//! `docs/wire-contract.md` says the same as the types: each of its examples is read, and its names and codes are complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::schemas::{schema, validates};
use super::*;

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/wire-contract.md")).unwrap()
}

fn printer() -> TokenPrinter {
    TokenPrinter::new(b"key")
}

/// The examples of one kind: the JSON documents in its blocks, with what their placeholders stand for.
fn examples(kind: &str) -> Vec<String> {
    let raw = Value::from(token_json()).to_string();
    let page = page()
        .replace("$TOKEN_PRINT", &printer().print(token_json().as_bytes()).to_string())
        .replace("$TOKEN", &token_base64())
        .replace("\"$RAW_TOKEN\"", &raw);
    let begin = format!("```json {kind}\n");
    let blocks = page.split(&begin).skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let documents = |block| serde_json::Deserializer::from_str(block).into_iter::<Box<RawValue>>().map(Result::unwrap);
    let examples: Vec<_> = blocks.flat_map(documents).map(|document| document.get().to_owned()).collect();
    assert!(!examples.is_empty(), "no example of {kind}");
    examples
}

/// A record whose headers and value are text.
#[derive(Deserialize)]
struct Example {
    key: Option<String>,
    headers: Map<String, Value>,
    value: Option<String>,
}

impl Example {
    fn read(text: &str) -> Record {
        let Self { key, headers, value } = serde_json::from_str(text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
        let text = |value: Value| Bytes::from(value.as_str().unwrap().to_owned());
        let headers = headers.into_iter().map(|(name, value)| (name, Some(text(value)))).collect();
        Record { origin: origin(), key: key.map(Bytes::from), value: value.map(Bytes::from), headers }
    }
}

/// Headers without regard to their order: that of the examples is lost in reading.
fn sorted(headers: &Headers) -> BTreeMap<String, Option<Bytes>> {
    headers.iter().map(|(name, value)| (name.to_string(), value.cloned())).collect()
}

#[test]
fn requests_of_the_page_are_requests() {
    let schema = schema("request");
    for text in examples("request") {
        validates(&schema, &text, text.as_bytes());
        let request = Request::parse(text.as_bytes()).unwrap();
        assert_eq!(request.task_token, token());
        if let Some(activity) = request.activity {
            assert_eq!(request.request_key, Some(activity.request_key()));
        }
    }
}

#[test]
fn replies_of_the_page_are_read() {
    let event = [(names::CONTENT_TYPE, names::CLOUD_EVENT_JSON_TYPE)];
    for (kind, name, headers) in [("envelope", "reply", &[][..]), ("event", "cloud-event", &event)] {
        let schema = schema(name);
        for text in examples(kind) {
            validates(&schema, &text, text.as_bytes());
            read(&record(headers, Some(text.as_bytes()))).unwrap_or_else(|refusal| panic!("{refusal}: {text}"));
        }
    }
    for text in examples("record") {
        let reply = read(&Example::read(&text)).unwrap_or_else(|refusal| panic!("{refusal}: {text}"));
        assert!(matches!(reply.mode, Mode::Headers | Mode::BinaryEvent), "{text}");
    }
}

#[test]
fn outcomes_of_the_page_have_every_field_that_is_written() {
    let schema = schema("outcome");
    for text in examples("outcome") {
        validates(&schema, &text, text.as_bytes());
        let written = Outcome::parse(text.as_bytes()).unwrap().into_record("o".into(), 4).value.unwrap();
        let value = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
        assert_eq!(value(&written), value(text.as_bytes()));
    }
}

#[test]
fn the_dead_letter_of_the_page_is_the_one_that_its_record_becomes() {
    for text in examples("dead-letter") {
        let letter = Example::read(&text);
        let ours = |name: &HeaderName| name.starts_with("handback-source-") || name.starts_with("handback-dlq-");
        let mut record = letter.clone();
        record.origin = source_of(&letter.headers).unwrap();
        record.headers =
            letter.headers.iter().filter(|(n, _)| !ours(n)).map(|(n, v)| (n.clone(), v.cloned())).collect();
        let refusal = read(&record).expect_err("refused");
        let made = DeadLetter {
            record: &record,
            outcome: OutcomeKind::Rejected,
            reason: refusal.code.as_str(),
            detail: &refusal.detail,
            attempts: 0,
            engine_status: None,
            token: refusal.token_print(&printer()),
        };
        let made = made.to_record("dlq".into());
        assert_eq!((made.key, made.value), (letter.key, letter.value));
        assert_eq!(sorted(&made.headers), sorted(&letter.headers));
    }
}

#[test]
fn the_retry_of_the_page_is_restored() {
    for text in examples("retry") {
        let waiting = Example::read(&text);
        let (record, state) = RetryState::restore(waiting.clone()).map_err(|(_, fault)| fault).unwrap();
        read(&record).unwrap();
        assert_eq!(sorted(&state.to_record(&record, "retry".into()).headers), sorted(&waiting.headers));
    }
}

#[test]
fn fingerprints_and_ledger_entries_of_the_page_are_those_of_its_replies() {
    let page = page();
    let envelopes = examples("envelope");
    let reply = |text: &str| read(&record(&[], Some(text.as_bytes()))).unwrap();
    let mut reply_with_key = reply(&envelopes[0]);
    for text in [&envelopes[0], &envelopes[3]] {
        assert!(page.contains(&format!("`{}`", reply(text).fingerprint)), "{text}");
    }
    for key in [None, Some("charge-17".to_owned())] {
        reply_with_key.idempotency_key = key;
        let entry = LedgerEntry::of(&reply_with_key.target, &reply_with_key, origin().offset).unwrap();
        let hex: String = entry.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(page.lines().any(|line| line == hex), "{hex}");
    }
}

#[test]
fn every_code_and_every_header_is_on_the_page() {
    let page = page();
    for code in RefusalCode::ALL {
        assert!(page.contains(&format!("\n| `{code}` | {} |\n", code.meaning())), "{code}");
    }
    for outcome in OutcomeKind::ALL {
        assert!(page.contains(&format!("\n| `{outcome}` | ")), "{outcome}");
    }
    let quoted = include_str!("../names.rs").lines().filter_map(|line| line.strip_suffix("\";")?.split('"').nth(1));
    for name in quoted {
        // Names that share a beginning stand there by their endings.
        let ending = name.strip_prefix("handback-").or(name.strip_prefix("ce_")).unwrap_or(name);
        assert!(page.contains(ending), "{name}");
    }
}

#[test]
fn citations_are_of_sections_that_there_are() {
    let page = page();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut cited = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for rest in fs::read_to_string(&path).unwrap().split("`docs/wire-contract.md`, section ").skip(1) {
                let number =
                    rest.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap().trim_end_matches('.');
                if !number.is_empty() {
                    let there = [format!("\n## {number}. "), format!("\n### {number} ")];
                    assert!(there.iter().any(|heading| page.contains(heading)), "{}: {number}", path.display());
                    cited += 1;
                }
            }
        }
    }
    assert!(cited > 20, "{cited}");
}
