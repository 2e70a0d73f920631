//! Sizes and depths: nothing too large is read, nothing nested breaks the stack.

use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// Reads on a small stack, where recursion would overflow and end the process, and before a deadline far above the
/// milliseconds that it takes.
fn read_on_a_small_stack(record: Record, limits: Limits) -> Result<Reply, Box<Refusal>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().stack_size(128 * 1024);
    thread.spawn(move || drop(sender.send(decode(&record, &limits)))).unwrap();
    receiver.recv_timeout(Duration::from_secs(20)).expect("read in time")
}

#[test]
fn ten_mebibytes_of_nesting_neither_overflow_nor_stall() {
    let roomy = Limits { max_payload_bytes: 16 << 20, ..Limits::default() };
    let (open, close) = ("[".repeat(5 << 20), "]".repeat(5 << 20));
    let objects = format!("{}1{}", "{\"a\":".repeat(2 << 20), "}".repeat(2 << 20));
    let reply = |rest: String, limits: &Limits| read_on_a_small_stack(envelope(&rest), limits.clone());
    let code = |rest: String, limits: &Limits| reply(rest, limits).expect_err("refused").code;

    assert_eq!(code(format!("\"result\": {open}{close}"), &Limits::default()), RefusalCode::TooLarge);
    let nested = reply(format!("\"result\": {open}{close}"), &roomy).unwrap();
    assert_eq!(nested.answer.engine_payload().unwrap().len(), 10 << 20);
    assert_eq!(code(format!("\"result\": {open}"), &roomy), RefusalCode::BadJson);
    assert_eq!(code(format!("\"unknown\": {open}{close}"), &roomy), RefusalCode::UnknownField);
    assert_eq!(code(format!("\"unknown\": {objects}"), &roomy), RefusalCode::UnknownField);
    assert_eq!(code(format!("\"failure\": {open}{close}"), &roomy), RefusalCode::BadField);
    reply(format!("\"activity\": {objects}, \"result\": 1"), &roomy).unwrap();
    assert_eq!(code(format!("\"action\": {open}{close}"), &roomy), RefusalCode::BadField);
    assert_eq!(code(format!("\"result\": 1, \"metadata\": {objects}"), &roomy), RefusalCode::MetadataTooLarge);
}

#[test]
fn nesting_in_a_token_and_in_a_payload_by_header_is_harmless() {
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(16_000), "]".repeat(16_000));
    let json = format!("{}1{}", "[".repeat((1 << 20) - 1), "]".repeat((1 << 20) - 1));
    let by_correlation_id = record(&[(names::CORRELATION_ID, &deep)], Some(json.as_bytes()));
    let strict = Limits { require_json: true, ..Limits::default() };
    assert_eq!(
        read_on_a_small_stack(by_correlation_id, strict.clone()).expect_err("no token").code,
        RefusalCode::BadToken
    );
    let token = token_base64();
    read_on_a_small_stack(record(&[(names::TASK_TOKEN, &token)], Some(json.as_bytes())), strict).unwrap();
}

#[test]
fn a_payload_may_have_the_limit_and_no_byte_more() {
    let limits = Limits { max_payload_bytes: 100, ..Limits::default() };
    let text = |size: usize| format!("\"{}\"", "x".repeat(size - 2));
    let encoded = |size: usize| STANDARD.encode(vec![7; size]);
    for (rest, place) in [
        (&(|n| format!("\"result\": {}", text(n))) as &dyn Fn(usize) -> String, "`result`"),
        (&|n| format!("\"result_base64\": \"{}\"", encoded(n)), "`result_base64`"),
        (&|n| format!("\"action\": \"heartbeat\", \"details\": {}", text(n)), "`details`"),
        (&|n| format!(r#""failure": {{"reason": "X", "details": {}}}"#, text(n)), "`failure.details`"),
    ] {
        decode(&envelope(&rest(100)), &limits).unwrap();
        let refusal = decode(&envelope(&rest(101)), &limits).expect_err("too large");
        assert_eq!(refusal.code, RefusalCode::TooLarge);
        assert_eq!(refusal.detail, format!("{place} has 101 bytes; at most 100 are allowed"));
    }
    let token = token_base64();
    let by_header = |size: usize| record(&[(names::TASK_TOKEN, &token)], Some(&vec![7; size]));
    decode(&by_header(100), &limits).unwrap();
    assert_eq!(
        decode(&by_header(101), &limits).expect_err("too large").detail,
        "the value has 101 bytes; at most 100 are allowed"
    );
}

#[test]
fn a_result_that_is_ignored_has_no_size() {
    let limits = Limits { max_payload_bytes: 100, ..Limits::default() };
    let rest = format!(r#""result": "{}", "failure": {{"reason": "X"}}"#, "x".repeat(1000));
    decode(&envelope(&rest), &limits).unwrap();
}

#[test]
fn metadata_and_keys_may_have_their_limits_and_no_byte_more() {
    let metadata = |size: usize| format!(r#""result": 1, "metadata": {{"m":"{}"}}"#, "x".repeat(size - 8));
    read(&envelope(&metadata(16 * 1024))).unwrap();
    refused(&envelope(&metadata(16 * 1024 + 1)), RefusalCode::MetadataTooLarge, "`metadata` has 16385 bytes");
    let nested = |levels: usize| {
        format!(r#""result": 1, "metadata": {{"[\"[":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1))
    };
    read(&envelope(&nested(64))).unwrap();
    refused(&envelope(&nested(65)), RefusalCode::MetadataTooLarge, "deeper than 64 levels");
    let key = |size: usize| format!(r#""result": 1, "idempotency_key": "{}""#, "\u{e9}".repeat(size / 2));
    read(&envelope(&key(512))).unwrap();
    refused(&envelope(&key(514)), RefusalCode::BadField, "it has 514");
}
