//! What a call gets that is not made as YARPC wants calls to be made.

use std::time::Duration;

use bytes::Bytes;
use tonic::Code;

use super::call::Head;
use super::calls::{Form, Say, Verb};
use super::expect::{Expect, Report};
use super::stage::{Part, Play, Stage};

const COMPLETED: &str = "/uber.cadence.api.v1.WorkerAPI/RespondActivityTaskCompleted";
const SERVICE_LIST: &str = "unrecognized service name \"somebody-else\", available services: *\"cadence-frontend\"*";
const NO_PROCEDURE: &str = "unrecognized procedure \"uber.cadence.api.v1.WorkerAPI::RespondActivityTaskCompleted\" for service \"cadence-frontend\"";

/// Faults that the server finds before it looks at the request.
fn refused() -> Vec<(&'static str, Head, Expect)> {
    let bad = |text: &str| Expect::door(Code::InvalidArgument, text);
    let transport = |text: &str| Expect::bad(text);
    let head = Head::default;
    vec![
        ("no caller", head().without(&["rpc-caller"]), bad("missing caller name")),
        ("empty caller", head().but("rpc-caller", ""), bad("missing caller name")),
        ("no service", head().without(&["rpc-service"]), bad("missing service name")),
        ("no encoding", head().without(&["rpc-encoding"]), bad("missing encoding")),
        (
            "no service, caller and encoding",
            head().without(&["rpc-service", "rpc-caller", "rpc-encoding"]),
            bad("missing service name, caller name, encoding"),
        ),
        ("no deadline", head().without(&["grpc-timeout"]), transport("missing TTL")),
        ("no caller and no deadline", head().without(&["rpc-caller", "grpc-timeout"]), bad("missing caller name")),
        (
            "another service",
            head().but("rpc-service", "somebody-else"),
            Expect::door(Code::Unimplemented, SERVICE_LIST),
        ),
        ("encoding protobuf", head().but("rpc-encoding", "protobuf"), Expect::door(Code::Unimplemented, NO_PROCEDURE)),
        (
            "encoding json",
            head().but("rpc-encoding", "json"),
            transport(
                "failed to decode \"json\" request body for procedure \"uber.cadence.api.v1.WorkerAPI::RespondActivityTaskCompleted\" of service \"cadence-frontend\" from caller \"contract\": *",
            ),
        ),
        ("caller twice", head().and("rpc-caller", "b"), bad("header has more than one value: rpc-caller:[contract b]")),
        (
            "service twice",
            head().and("rpc-service", "cadence-frontend"),
            bad("header has more than one value: rpc-service:[cadence-frontend cadence-frontend]"),
        ),
        (
            "encoding twice",
            head().and("rpc-encoding", "proto"),
            bad("header has more than one value: rpc-encoding:[proto proto]"),
        ),
        (
            "some other header twice",
            head().and("x-anything", "1").and("x-anything", "2"),
            bad("header has more than one value: x-anything:[1 2]"),
        ),
    ]
}

/// Metadata that is unusual and yet accepted.
fn accepted() -> Vec<(&'static str, Head)> {
    let head = Head::default;
    vec![
        (
            "encoding in the content type",
            head().without(&["rpc-encoding"]).and("content-type", "application/grpc+proto"),
        ),
        ("content type with proto", head().and("content-type", "application/grpc+proto")),
        ("unknown client name", head().and("cadence-client-name", "handback")),
        ("feature flags that are not JSON", head().and("cadence-client-feature-flags", "not json")),
        ("an authorization that nobody asked for", head().and("cadence-authorization", "a.b.c")),
        ("a long deadline", Head::within(Duration::from_secs(600)).but("grpc-timeout", "10M")),
    ]
}

pub(crate) async fn refusals<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (_, attempt) = play.one(Part::new("a")).await?;
    let message = Say::new(Verb::Complete, Form::Token).to(&attempt);
    for (name, head, expected) in refused() {
        let seen = play.wire().send(COMPLETED, head, message.clone()).await;
        report.answer(format!("metadata: {name}"), &expected, &seen);
    }
    for (name, path) in [
        ("unknown method", "/uber.cadence.api.v1.WorkerAPI/NoSuchMethod"),
        ("unknown service", "/uber.cadence.api.v1.NoSuchAPI/RespondActivityTaskCompleted"),
    ] {
        let seen = play.wire().send(path, Head::default(), message.clone()).await;
        let text = "unrecognized procedure \"*\" for service \"cadence-frontend\"";
        report.answer(format!("metadata: {name}"), &Expect::door(Code::Unimplemented, text), &seen);
    }
    let seen = play.wire().send(COMPLETED, Head::default(), Bytes::from_static(&[0xff, 0xff, 0xff])).await;
    let text = "failed to decode \"proto\" request body for procedure \"uber.cadence.api.v1.WorkerAPI::RespondActivityTaskCompleted\" of service \"cadence-frontend\" from caller \"contract\": *";
    report.answer("metadata: a message that is none", &Expect::bad(text), &seen);
    // None of all this has done anything to the activity.
    let seen = play.wire().send(COMPLETED, Head::default(), message).await;
    report.answer("metadata: afterwards the call works", &Expect::ok(), &seen);
    Ok(())
}

pub(crate) async fn acceptances<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (_, attempt) = play.one(Part::new("a")).await?;
    let say = Say::new(Verb::Heartbeat, Form::Token);
    for (name, head) in accepted() {
        let seen = play.wire().send(&say.path(), head, say.to(&attempt)).await;
        report.answer(format!("metadata: {name}"), &Expect::ok(), &seen);
    }
    Ok(())
}

/// The trailers of answers: they tell Cadence's own errors from YARPC's.
pub(crate) async fn trailers<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (_, attempt) = play.one(Part::new("a")).await?;
    let say = Say::new(Verb::Heartbeat, Form::Token);
    let names = ["rpc-service", "rpc-application-error", "rpc-application-error-name", "rpc-application-error-details"];
    let of = |seen: &super::call::Seen| names.map(|name| seen.trailers.get(name).cloned().unwrap_or_default());
    let beat = |head: Head, attempt| {
        let (wire, message, path) = (play.wire().clone(), say.to(attempt), say.path());
        async move { wire.send(&path, head, message).await }
    };
    let seen = beat(Head::default(), &attempt).await;
    report.same("trailers: of OK", ["cadence-frontend", "", "", ""].map(str::to_owned), of(&seen));
    let stale = attempt.clone().with_claim("scheduleAttempt", 7.into());
    let seen = beat(Head::default(), &stale).await;
    let typed = ["cadence-frontend", "error", "EntityNotExistsError", "[]{ EntityNotExistsError{} }"];
    report.same("trailers: of a typed error", typed.map(str::to_owned), of(&seen));
    let empty = super::stage::Attempt { token: Bytes::from_static(b"{}"), ..attempt.clone() };
    let seen = beat(Head::default(), &empty).await;
    let bad = ["cadence-frontend", "error", "", "[]{  }"];
    report.same("trailers: of a bad request", bad.map(str::to_owned), of(&seen));
    let garbage = super::stage::Attempt { token: Bytes::from_static(b"garbage"), ..attempt.clone() };
    let seen = beat(Head::default(), &garbage).await;
    let unknown = ["cadence-frontend", "error", "", "[]{  }"];
    report.same("trailers: of an unknown error", unknown.map(str::to_owned), of(&seen));
    let seen = beat(Head::default().without(&["grpc-timeout"]), &attempt).await;
    report.same("trailers: of a missing deadline", ["cadence-frontend", "", "", ""].map(str::to_owned), of(&seen));
    Ok(())
}
