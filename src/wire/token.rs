//! Task tokens: checked before anything reaches the engine, never shown to anybody.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::json::{self, NameFault, NotAnObject, Others};

/// Longest token. The engine's limits (1000 characters for each of four names) make 26 KB at worst, when every
/// character is escaped.
pub const MAX_TOKEN_BYTES: usize = 32 * 1024;

const NAMES: [&str; 8] =
    ["domainId", "workflowId", "runId", "scheduleId", "scheduleAttempt", "activityId", "activityType", "workflowType"];
const DOMAIN_ID: usize = 0;
const WORKFLOW_ID: usize = 1;
const RUN_ID: usize = 2;
const SCHEDULE_ID: usize = 3;
const SCHEDULE_ATTEMPT: usize = 4;
const ACTIVITY_ID: usize = 5;
const ACTIVITY_TYPE: usize = 6;
const WORKFLOW_TYPE: usize = 7;

/// A task token that passed the check of `docs/wire-contract.md`, section 3.4. Holds the bytes as received; they are
/// what is sent.
///
/// Whoever has the token can answer for the activity: `Debug` shows nothing of it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskToken {
    bytes: Bytes,
    names: Names,
    schedule_id: i64,
    attempt: i64,
}

/// What a token says about its activity. Only domain, workflow, run, schedule id and attempt are checked by the engine;
/// the activity id and the types are the token's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenClaims<T = String> {
    /// UUID of the domain, canonical.
    pub domain_id: T,
    /// Workflow id.
    pub workflow_id: T,
    /// UUID of the run, canonical.
    pub run_id: T,
    /// Event id of the activity's schedule event.
    pub schedule_id: i64,
    /// Attempt, from 0.
    pub attempt: i64,
    /// Activity id.
    pub activity_id: T,
    /// Activity type; old engines leave it empty.
    pub activity_type: T,
    /// Workflow type; old engines leave it empty.
    pub workflow_type: T,
}

/// The names in a token's claims, in the order of `TokenClaims::names`, one behind the other: every reply has a token, and
/// each name in memory of its own would be a sixth of what a reply allocates.
#[derive(Clone, PartialEq, Eq)]
struct Names {
    all: Box<str>,
    /// Where each name ends. Names are parts of a token, so that 16 bits suffice.
    ends: [u16; 6],
}

impl Names {
    fn of(names: [&str; 6]) -> Self {
        // A name of a checked token is never longer than the token.
        const { assert!(MAX_TOKEN_BYTES <= u16::MAX as usize) }
        let mut all = String::with_capacity(names.iter().map(|name| name.len()).sum());
        let ends = names.map(|name| {
            all.push_str(name);
            u16::try_from(all.len()).unwrap_or(u16::MAX)
        });
        Self { all: all.into_boxed_str(), ends }
    }

    fn get(&self, index: usize) -> &str {
        let begin = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.all[usize::from(begin)..usize::from(self.ends[index])]
    }
}

impl TaskToken {
    /// Checks a token.
    ///
    /// The engine answers garbage with UNKNOWN or a wait of 30 s, takes a token with schedule id -23 for a call by id, and
    /// one with a UUID in another spelling for the same activity: so nothing unchecked may reach it.
    ///
    /// # Errors
    ///
    /// When it is too long, not a JSON object, has a name twice or in another case than the engine writes it, or a claim
    /// that is absent or out of range.
    pub fn check(bytes: Bytes) -> Result<Self, TokenFault> {
        let claims = TokenClaims::read(&bytes)?;
        let TokenClaims { schedule_id, attempt, .. } = claims;
        let names = Names::of(claims.names().map(|name| &name[..]));
        drop(claims);
        Ok(Self { bytes, names, schedule_id, attempt })
    }

    /// The token that the engine would have given out for these claims. The engine takes one in any order of names.
    ///
    /// # Errors
    ///
    /// When the claims do not pass the check.
    pub fn build(claims: TokenClaims) -> Result<Self, TokenFault> {
        let token = serde_json::json!({
            "domainId": claims.domain_id, "workflowId": claims.workflow_id, "workflowType": claims.workflow_type,
            "runId": claims.run_id, "scheduleId": claims.schedule_id, "scheduleAttempt": claims.attempt,
            "activityId": claims.activity_id, "activityType": claims.activity_type,
        });
        Self::check(Bytes::from(token.to_string()))
    }

    /// The token as received.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it says, owned.
    #[must_use]
    pub fn into_claims(self) -> TokenClaims {
        self.claims().owned()
    }

    /// What it says.
    #[must_use]
    pub fn claims(&self) -> TokenClaims<&str> {
        let name = |index| self.names.get(index);
        TokenClaims {
            domain_id: name(0),
            workflow_id: name(1),
            run_id: name(2),
            schedule_id: self.schedule_id,
            attempt: self.attempt,
            activity_id: name(3),
            activity_type: name(4),
            workflow_type: name(5),
        }
    }
}

impl TokenClaims<&str> {
    /// The same with names of its own.
    #[must_use]
    pub fn owned(&self) -> TokenClaims {
        TokenClaims {
            domain_id: self.domain_id.to_owned(),
            workflow_id: self.workflow_id.to_owned(),
            run_id: self.run_id.to_owned(),
            schedule_id: self.schedule_id,
            attempt: self.attempt,
            activity_id: self.activity_id.to_owned(),
            activity_type: self.activity_type.to_owned(),
            workflow_type: self.workflow_type.to_owned(),
        }
    }
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskToken({} bytes, redacted)", self.bytes.len())
    }
}

impl<'a> TokenClaims<Cow<'a, str>> {
    fn names(&self) -> [&Cow<'a, str>; 6] {
        [&self.domain_id, &self.workflow_id, &self.run_id, &self.activity_id, &self.activity_type, &self.workflow_type]
    }

    fn read(bytes: &'a [u8]) -> Result<Self, TokenFault> {
        if bytes.is_empty() {
            return Err(TokenFault::new("is empty"));
        }
        if bytes.len() > MAX_TOKEN_BYTES {
            return Err(TokenFault::new(format!("has {} bytes; at most {MAX_TOKEN_BYTES} are allowed", bytes.len())));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| TokenFault::new("is not UTF-8"))?;
        let fields = json::object(text, &NAMES, Others::IgnoreExactCase).map_err(|fault| match fault {
            NotAnObject::OtherValue => TokenFault::new("is not a JSON object"),
            NotAnObject::Syntax(problem) => TokenFault::new(format!("is not JSON: {problem}")),
        })?;
        if let Some(fault) = &fields.fault {
            return Err(name_fault(fault));
        }
        let get = |index: usize| Claim { name: NAMES[index], value: fields.get(index) };
        Ok(Self {
            domain_id: get(DOMAIN_ID).uuid()?,
            workflow_id: get(WORKFLOW_ID).filled()?,
            run_id: get(RUN_ID).uuid()?,
            schedule_id: get(SCHEDULE_ID).integer(1)?.ok_or_else(|| get(SCHEDULE_ID).fault("is missing"))?,
            attempt: get(SCHEDULE_ATTEMPT).integer(0)?.unwrap_or(0),
            activity_id: get(ACTIVITY_ID).filled()?,
            activity_type: get(ACTIVITY_TYPE).text()?.unwrap_or_default(),
            workflow_type: get(WORKFLOW_TYPE).text()?.unwrap_or_default(),
        })
    }
}

/// Why a token was refused. `Display` names the claim and holds nothing else of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task token {problem}")]
pub struct TokenFault {
    problem: String,
}

impl TokenFault {
    fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into() }
    }

    /// What is wrong, without the words "the task token": to follow the name of a field or header.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

/// Token bytes that may or may not be good. `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct RawToken(Bytes);

impl RawToken {
    /// Wraps bytes that are meant to be a token.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for RawToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawToken({} bytes, redacted)", self.0.len())
    }
}

/// Whether `text` is a UUID as the engine writes it: lower case, hyphens. It takes other spellings for the same run, and
/// answers INTERNAL for ever to other spellings of a domain.
pub(crate) fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

fn name_fault(fault: &NameFault) -> TokenFault {
    TokenFault::new(match fault {
        NameFault::Twice(name) => format!("has a field twice, {}", json::show_name(name)),
        NameFault::OtherCase(name) | NameFault::Unknown(name) => {
            format!("has a field in the wrong case, {}", json::show_name(name))
        }
        NameFault::TooMany => "has too many fields".to_owned(),
    })
}

struct Claim<'a> {
    name: &'static str,
    value: Option<&'a RawValue>,
}

impl<'a> Claim<'a> {
    fn fault(&self, problem: &str) -> TokenFault {
        TokenFault::new(format!("has a wrong claim: `{}` {problem}", self.name))
    }

    fn text(&self) -> Result<Option<Cow<'a, str>>, TokenFault> {
        let Some(value) = self.value else { return Ok(None) };
        json::text(value).map(Some).ok_or_else(|| self.fault("is not a string"))
    }

    fn filled(&self) -> Result<Cow<'a, str>, TokenFault> {
        let text = self.text()?.ok_or_else(|| self.fault("is missing"))?;
        if text.is_empty() { Err(self.fault("is empty")) } else { Ok(text) }
    }

    fn uuid(&self) -> Result<Cow<'a, str>, TokenFault> {
        let text = self.filled()?;
        if is_canonical_uuid(&text) {
            return Ok(text);
        }
        Err(self.fault("is not a UUID in canonical form (lower case, with hyphens)"))
    }

    fn integer(&self, least: i64) -> Result<Option<i64>, TokenFault> {
        let Some(value) = self.value else { return Ok(None) };
        match json::integer(value) {
            Some(number) if number >= least => Ok(Some(number)),
            Some(_) => Err(self.fault(&format!("is below {least}"))),
            None => Err(self.fault("is not an integer")),
        }
    }
}
