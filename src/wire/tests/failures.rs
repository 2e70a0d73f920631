//! How each style of failure reaches the engine, and what each style needs.

use super::*;

#[track_caller]
fn failure(fields: &str) -> Failure {
    match read(&envelope(&format!("\"failure\": {{{fields}}}"))).unwrap().answer {
        Answer::Fail(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn goes_to_the_engine(fields: &str, reason: &str, details: Option<&str>) {
    let failure = failure(fields);
    assert_eq!(failure.engine_reason(), reason, "{fields}");
    assert_eq!(failure.engine_details().as_deref(), details.map(str::as_bytes), "{fields}");
}

#[test]
fn custom_sends_reason_and_details() {
    goes_to_the_engine(r#""reason": "CardDeclined""#, "CardDeclined", None);
    goes_to_the_engine(r#""reason": "X", "details": { "code":51.0 }"#, "X", Some(r#"{ "code":51.0 }"#));
    goes_to_the_engine(r#""reason": "X", "details": null, "details_base64": "T0s", "message": "m""#, "X", Some("OK"));
    goes_to_the_engine(r#""reason": "X", "details": null, "style": null"#, "X", None);
    goes_to_the_engine(r#""reason": "X", "details_base64": """#, "X", None);
}

#[test]
fn generic_sends_the_message_as_it_is() {
    goes_to_the_engine(
        r#""style": "generic", "message": "card \"declined\"""#,
        "cadenceInternal:Generic",
        Some("card \"declined\""),
    );
    goes_to_the_engine(
        r#""style": "generic", "message": "m", "reason": "X", "details": 1"#,
        "cadenceInternal:Generic",
        Some("m"),
    );
}

#[test]
fn java_sends_an_exception_that_its_client_can_load() {
    goes_to_the_engine(
        r#""style": "java", "reason": "com.example.CardDeclined", "message": "no \"funds\"""#,
        "com.example.CardDeclined",
        Some(
            r#"{"class":"com.example.CardDeclined","detailMessage":"no \"funds\"","stackTrace":"","suppressedExceptions":[]}"#,
        ),
    );
    goes_to_the_engine(
        r#""style": "java", "reason": "java.lang.RuntimeException""#,
        "java.lang.RuntimeException",
        Some(
            r#"{"class":"java.lang.RuntimeException","detailMessage":null,"stackTrace":"","suppressedExceptions":[]}"#,
        ),
    );
    goes_to_the_engine(
        r#""style": "java", "reason": "x.Y", "details": {"class": "x.Y"}"#,
        "x.Y",
        Some(r#"{"class": "x.Y"}"#),
    );
}

#[test]
fn a_failure_needs_what_its_style_sends() {
    for (fields, code, names) in [
        ("", RefusalCode::MissingReason, "`failure.reason` is missing or empty; style custom"),
        (r#""reason": "", "style": "java""#, RefusalCode::MissingReason, "style java"),
        (r#""style": "generic""#, RefusalCode::MissingMessage, "`failure.message`"),
        (r#""reason": "cadenceInternal:Panic""#, RefusalCode::ReservedReason, "`failure.reason`"),
        (
            r#""style": "generic", "message": "m", "reason": "cadenceInternal:Timeout BOGUS""#,
            RefusalCode::ReservedReason,
            "reason",
        ),
        (r#""reason": 5"#, RefusalCode::BadField, "`failure.reason` must be a string"),
        (r#""reason": "X", "details_base64": "!""#, RefusalCode::BadBase64, "`failure.details_base64`"),
        (r#""reason": "X", "detail": 1"#, RefusalCode::UnknownField, "`detail`; did you mean `failure.details`?"),
        (r#""reason": "X", "style": "Go""#, RefusalCode::BadField, "`failure.style`"),
    ] {
        refused(&envelope(&format!("\"failure\": {{{fields}}}")), code, names);
    }
    let long = format!(r#""failure": {{"reason": "{}"}}"#, "r".repeat(4097));
    refused(&envelope(&long), RefusalCode::TooLarge, "reason");
}
