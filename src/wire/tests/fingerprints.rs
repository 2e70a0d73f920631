//! The fingerprint's layout never changes: versions of handback meet in the outcome topic and in histories.

use super::*;

fn failure(style: FailureStyle, reason: &str, message: Option<&str>, details: Option<&'static str>) -> Answer {
    Answer::Fail(Failure {
        reason: reason.into(),
        message: message.map(str::to_owned),
        details: details.map(Bytes::from),
        style,
    })
}

fn cases() -> Vec<(Answer, &'static str)> {
    let some = |text: &'static str| Some(Bytes::from(text));
    vec![
        (Answer::Complete { result: None }, "c62b71785130b5f86f06e1fba83f409c"),
        (Answer::Complete { result: some("null") }, "7a683b2c1395fd22d7681016500f54e5"),
        (Answer::Complete { result: some("{\"charge_id\": \"ch_1\"}") }, "f76ee000456c0fbb805a71d00f4c6ba4"),
        (Answer::Cancel { details: None }, "32ba84442b77431446997441bcfc779c"),
        (Answer::Cancel { details: some("1") }, "2264066768a3f9ed02943e8ac1a3830c"),
        (Answer::Heartbeat { details: some("1") }, "df476821586428b2ff9414c3b2b7d81c"),
        (failure(FailureStyle::Custom, "CardDeclined", None, None), "e9d7d3f2830e66d7417440a882a1fb71"),
        (
            failure(FailureStyle::Custom, "CardDeclined", None, Some("{\"code\":51}")),
            "d3d4e84d38346880c4478cce9232878f",
        ),
        (failure(FailureStyle::Generic, "", Some("card declined"), None), "e3da37f840d4425c7c2c5443a92d205a"),
        (
            failure(FailureStyle::Java, "com.example.CardDeclined", Some("card declined"), None),
            "a42f6da22f08919a935626beb5ad0775",
        ),
    ]
}

#[test]
fn fingerprints_are_golden() {
    for (answer, golden) in cases() {
        assert_eq!(Fingerprint::of(&answer).to_string(), golden, "{answer:?}");
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    use sha2::{Digest, Sha256};
    let mut bytes = Vec::new();
    for part in [&b"fail"[..], b"PAYLOAD", b"CardDeclined", b"custom"] {
        if part == b"PAYLOAD" {
            bytes.push(1);
            bytes.extend(11_u64.to_be_bytes());
            bytes.extend(b"{\"code\":51}");
        } else {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part);
        }
    }
    let answer = failure(FailureStyle::Custom, "CardDeclined", None, Some("{\"code\":51}"));
    assert_eq!(Fingerprint::of(&answer).bytes()[..], Sha256::digest(bytes)[..16]);
}

#[test]
fn answers_that_differ_for_the_engine_have_different_fingerprints() {
    let all: std::collections::HashSet<_> = cases().iter().map(|(answer, _)| Fingerprint::of(answer)).collect();
    assert_eq!(all.len(), cases().len());
    let quiet = failure(FailureStyle::Custom, "X", None, None);
    let loud = failure(FailureStyle::Custom, "X", Some("only recorded"), None);
    assert_eq!(Fingerprint::of(&quiet), Fingerprint::of(&loud));
}

#[test]
fn a_fingerprint_is_read_back() {
    let print = Fingerprint::of(&Answer::Complete { result: None });
    assert_eq!(Fingerprint::parse(&print.to_string()), Some(print));
    assert_eq!(Fingerprint::from_bytes(*print.bytes()), print);
    for wrong in ["", "9f2c", "+f2c0d3b5a6e4f718293a4b5c6d7e8f9", "9F2C0D3B5A6E4F718293A4B5C6D7E8F9"] {
        assert_eq!(Fingerprint::parse(wrong), None);
    }
}
