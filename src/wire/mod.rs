//! The contract on the topics (`docs/wire-contract.md`) as types. Pure: no Kafka client, no gRPC, no runtime, no clock.

mod headers;
mod record;

pub mod names;

mod answer;
mod event;
mod fingerprint;
mod print;
mod refusal;
mod target;
mod token;

mod decode;

mod dead_letter;
mod document;
mod ledger;
mod omitted;
mod outcome;
mod retry;

mod arguments;
mod builder;
mod request;

mod json;
mod time;

#[cfg(test)]
mod tests;

pub use answer::{Action, Answer, Failure, FailureStyle, RESERVED_REASON};
pub use arguments::{Encoding, Input};
pub use builder::ReplyBuilder;
pub use dead_letter::{DeadLetter, Kept, source_of};
pub use decode::{
    Limits, MAX_ID_BYTES, MAX_IDEMPOTENCY_KEY_BYTES, MAX_REASON_BYTES, Mode, Reply, decode, decode_base64,
};
pub use event::{EventRef, MAX_EVENT_NAME_BYTES};
pub use fingerprint::Fingerprint;
pub use headers::{HeaderName, Headers, MAX_HEADERS};
pub use ledger::LedgerEntry;
pub use omitted::Omitted;
pub use outcome::{Evidence, Outcome, OutcomeFault, OutcomeKind};
pub use print::{TokenPrint, TokenPrinter};
pub use record::{Origin, OutRecord, Record};
pub use refusal::{Refusal, RefusalCode, TOO_LARGE_TO_WAIT};
pub use request::{Request, RequestActivity, RequestFault};
pub use retry::{BadRetryState, RetryState};
pub(crate) use target::ActivityView;
pub use target::{ActivityId, ActivityRef, Target, TargetKey};
pub use token::{MAX_TOKEN_BYTES, RawToken, TaskToken, TokenClaims, TokenFault};
