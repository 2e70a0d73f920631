//! `docs/wire-contract.md`, section 4: outcome records.

use super::*;

fn applied() -> Outcome {
    Outcome {
        action: Some(Action::Complete),
        evidence: Some(Evidence::Engine),
        activity: Some(ActivityRef { domain: Some("orders".into()), ..Target::Token(token()).into_activity() }),
        fingerprint: Some(Fingerprint::from_bytes([0x9f; 16])),
        attempts: 1,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        ..Outcome::new(OutcomeKind::Applied, origin(), 1_795_341_607_120, 1_795_341_607_131)
    }
}

#[test]
fn an_outcome_is_written_as_the_contract_shows_it() {
    let record = applied().into_record("activity-outcomes".into(), 4);
    let expected = format!(
        concat!(
            r#"{{"outcome":"applied","action":"complete","reason":null,"detail":null,"evidence":"engine","#,
            r#""activity":{{"domain_id":"{}","domain":"orders","workflow_id":"order-17","run_id":"{}","schedule_id":12,"#,
            r#""attempt":0,"activity_id":"3","activity_type":"ChargeCard"}},"#,
            r#""idempotency_key":null,"fingerprint":"{}","cancel_requested":false,"#,
            r#""source":{{"topic":"activity-replies","partition":4,"offset":1187,"timestamp":"2026-11-22T10:00:07.000Z"}},"#,
            r#""attempts":1,"received_at":"2026-11-22T10:00:07.120Z","settled_at":"2026-11-22T10:00:07.131Z","metadata":{{}}}}"#
        ),
        DOMAIN_ID,
        RUN_ID,
        "9f".repeat(16)
    );
    assert_eq!(std::str::from_utf8(record.value.as_ref().unwrap()).unwrap(), expected);
    assert_eq!(record.topic.as_ref(), "activity-outcomes");
    assert_eq!(record.partition, Some(4), "the origin's partition number");
    assert_eq!(record.key.unwrap(), format!("{DOMAIN_ID}/order-17/{RUN_ID}/12/0"));
    let names: Vec<_> = record.headers.iter().filter_map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [names::OUTCOME, names::SOURCE_TOPIC, names::ACTIVITY_TYPE, names::TRACEPARENT]);
    assert_eq!(text(&record.headers, names::OUTCOME), Some("applied"));
    assert_eq!(text(&record.headers, names::SOURCE_TOPIC), Some("activity-replies"));
    assert_eq!(text(&record.headers, names::ACTIVITY_TYPE), Some("ChargeCard"));
}

#[test]
fn an_outcome_without_a_target_is_keyed_by_its_source() {
    let entry = LedgerEntry {
        target: [1; 16],
        fingerprint: Fingerprint::from_bytes([2; 16]),
        idempotency_key: None,
        offset: 1187,
    };
    let outcome = Outcome { ledger: Some(entry), ..Outcome::new(OutcomeKind::Rejected, origin(), 0, 0) };
    let record = outcome.into_record("activity-outcomes".into(), 4);
    assert_eq!(record.key.unwrap(), "source:activity-replies/4/1187");
    assert_eq!(record.headers.last(names::LEDGER).unwrap()[..], entry.to_bytes());
    assert_eq!(record.headers.last(names::ACTIVITY_TYPE), None);
}

#[test]
fn an_outcome_is_read_back() {
    let metadata = serde_json::value::RawValue::from_string(r#"{ "a":1.10 }"#.into()).unwrap();
    let written = Outcome {
        kind: OutcomeKind::Rejected,
        reason: Some(RefusalCode::Contradiction.as_str().into()),
        detail: Some("`details` \"beside\" a result".into()),
        evidence: None,
        idempotency_key: Some("k".into()),
        cancel_requested: true,
        metadata: Some(metadata),
        ..applied()
    };
    let record = written.clone().into_record("activity-outcomes".into(), 4);
    let read = Outcome::parse(&record.value.clone().unwrap()).unwrap();
    assert_eq!(read.source, written.source);
    assert_eq!(read.activity, written.activity);
    assert_eq!((read.reason.as_deref(), read.detail.as_deref()), (Some("contradiction"), written.detail.as_deref()));
    assert_eq!(read.metadata.as_ref().unwrap().get(), r#"{ "a":1.10 }"#, "copied as received");
    assert_eq!(read.into_record("activity-outcomes".into(), 4).value, record.value);
}

#[test]
fn only_objects_are_read_as_an_outcome_and_as_its_parts() {
    let good = applied().into_record("o".into(), 4).value.unwrap();
    let good: serde_json::Value = serde_json::from_slice(&good).unwrap();
    let list = |object: &serde_json::Value, names: &[&str]| names.iter().map(|name| object[*name].clone()).collect();
    let names = "outcome action reason detail evidence activity idempotency_key fingerprint cancel_requested source \
                 attempts received_at settled_at metadata";
    let whole: serde_json::Value = list(&good, &names.split_whitespace().collect::<Vec<_>>());
    assert!(Outcome::parse(whole.to_string().as_bytes()).is_err(), "a list of its fields in order");
    for (name, value) in [
        ("source", list(&good["source"], &["topic", "partition", "offset", "timestamp"])),
        ("activity", list(&good["activity"], &["domain_id"])),
        ("metadata", serde_json::json!(5)),
        ("metadata", serde_json::json!([])),
    ] {
        let mut other = good.clone();
        other[name] = value;
        assert!(Outcome::parse(other.to_string().as_bytes()).is_err(), "{other}");
    }
    assert!(Outcome::parse(good.to_string().as_bytes()).is_ok());
}

#[test]
fn every_kind_and_evidence_has_its_name() {
    for kind in OutcomeKind::ALL {
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        assert_eq!(OutcomeKind::parse(kind.as_str()), Some(kind));
    }
    for evidence in [Evidence::Engine, Evidence::History, Evidence::LastFailure] {
        assert_eq!(serde_json::to_string(&evidence).unwrap(), format!("\"{}\"", evidence.as_str()));
    }
    for action in Action::ALL {
        assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{action}\""));
    }
    for style in FailureStyle::ALL {
        assert_eq!(serde_json::to_string(&style).unwrap(), format!("\"{style}\""));
    }
    let codes: std::collections::BTreeSet<_> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes.len(), RefusalCode::ALL.len());
    assert!(RefusalCode::ALL.iter().all(|code| RefusalCode::parse(code.as_str()) == Some(*code)));
}

#[test]
fn a_producers_impossible_timestamp_does_not_break_the_outcome() {
    for (timestamp_ms, text) in
        [(Some(-1), "\"1969-12-31T23:59:59.999Z\""), (Some(i64::MAX), "null"), (Some(i64::MIN), "null"), (None, "null")]
    {
        let outcome = Outcome::new(OutcomeKind::Applied, Origin { timestamp_ms, ..origin() }, i64::MAX, i64::MIN);
        let value = outcome.into_record("o".into(), 4).value.unwrap();
        let value = std::str::from_utf8(&value).unwrap();
        assert!(value.contains(&format!("\"timestamp\":{text}}}")), "{value}");
        assert!(Outcome::parse(value.as_bytes()).is_ok(), "{value}");
    }
}
