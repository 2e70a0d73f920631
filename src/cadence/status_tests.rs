use super::*;

const AGAIN: Verdict = Verdict::Transient { busy: false };
const LATER: Verdict = Verdict::Transient { busy: true };
const NEVER: Verdict = Verdict::Refused(RefusalCode::EngineRefused);

/// Every gRPC code there is.
const CODES: [Code; 17] = [
    Code::Ok,
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

/// A status as the server sends it: code, text and typed detail.
fn status(code: Code, detail: Detail, message: &str) -> Status {
    if detail == Detail::Absent {
        return Status::new(code, message);
    }
    let type_url = format!("type.googleapis.com/uber.cadence.api.v1.{detail:?}Error");
    let details = vec![Any { type_url, value: Vec::new() }];
    let rich = RpcStatus { code: code as i32, message: message.to_owned(), details };
    Status::with_details(code, message, rich.encode_to_vec().into())
}

fn check(code: Code, detail: Detail, message: &str, expected: Verdict) {
    let error = call_error(&status(code, detail, message));
    assert_eq!(error.verdict, expected, "{code:?} {detail:?} {message:?}");
    assert_eq!(error.status, code_name(code));
}

#[test]
fn every_code_without_a_detail_has_its_decision() {
    for code in CODES {
        let expected = match code {
            Code::NotFound => Verdict::NotFound,
            Code::InvalidArgument | Code::AlreadyExists => NEVER,
            Code::FailedPrecondition => Verdict::DomainNotActive,
            Code::ResourceExhausted => LATER,
            Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated => Verdict::Wiring,
            _ => AGAIN,
        };
        check(code, Detail::Absent, "", expected);
    }
}

#[test]
fn every_typed_error_of_cadence_has_its_decision() {
    for (code, detail, expected) in [
        (Code::NotFound, Detail::EntityNotExists, Verdict::NotFound),
        (Code::NotFound, Detail::WorkflowExecutionAlreadyCompleted, Verdict::NotFound),
        (Code::InvalidArgument, Detail::QueryFailed, NEVER),
        (Code::FailedPrecondition, Detail::DomainNotActive, Verdict::DomainNotActive),
        (Code::FailedPrecondition, Detail::ClientVersionNotSupported, Verdict::Wiring),
        (Code::FailedPrecondition, Detail::FeatureNotEnabled, Verdict::Wiring),
        (Code::ResourceExhausted, Detail::ServiceBusy, LATER),
        (Code::ResourceExhausted, Detail::LimitExceeded, NEVER),
        (Code::AlreadyExists, Detail::CancellationAlreadyRequested, NEVER),
        (Code::AlreadyExists, Detail::DomainAlreadyExists, NEVER),
        (Code::AlreadyExists, Detail::WorkflowExecutionAlreadyStarted, NEVER),
    ] {
        check(code, detail, "", expected);
    }
}

#[test]
fn details_are_recognised_by_their_type() {
    for detail in Detail::ALL {
        assert_eq!(Detail::of(&status(Code::NotFound, detail, "")), detail);
    }
    assert_eq!(
        Detail::of(&Status::with_details(Code::Unknown, "", bytes::Bytes::from_static(b"\xff"))),
        Detail::Absent
    );
}

#[test]
fn texts_that_carry_the_meaning() {
    check(
        Code::NotFound,
        Detail::EntityNotExists,
        "Domain 0197b3b0-0000-7000-8000-000000000000 does not exist.",
        Verdict::UnknownDomain,
    );
    check(Code::InvalidArgument, Detail::Absent, "Cannot locate Activity ScheduleID", Verdict::NotFound);
    check(Code::InvalidArgument, Detail::Absent, "missing service name, caller name, encoding", Verdict::Wiring);
    check(Code::InvalidArgument, Detail::Absent, "missing TTL", Verdict::Wiring);
    check(Code::InvalidArgument, Detail::Absent, "header has more than one value", Verdict::Wiring);
    check(Code::InvalidArgument, Detail::Absent, "Identity length exceeds limit.", NEVER);
    check(
        Code::ResourceExhausted,
        Detail::Absent,
        "grpc: received message larger than max (5242900 vs. 4194304)",
        Verdict::Refused(RefusalCode::TooLarge),
    );
    check(
        Code::Unknown,
        Detail::Absent,
        "cadence internal error, msg: Unable to add ActivityTaskCanceled event to history.",
        Verdict::Refused(RefusalCode::CancelNotRequested),
    );
}

#[test]
fn wiring_fault_stops_instead_of_draining_the_topic() {
    for code in [Code::Unimplemented, Code::PermissionDenied, Code::Unauthenticated] {
        for detail in Detail::ALL {
            check(code, detail, "unrecognized service name", Verdict::Wiring);
        }
    }
}
