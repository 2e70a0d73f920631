//! Which activity a reply is about.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize, Serializer};

use super::document::Object;
use super::token::{TaskToken, TokenClaims};

/// What percent-encoding leaves alone: the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which activity a reply is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By task token: one attempt of one activity, exactly.
    Token(TaskToken),
    /// By names.
    ById(ActivityId),
}

/// An activity by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActivityId {
    /// Name of the domain.
    pub domain: String,
    /// Workflow id.
    pub workflow_id: String,
    /// UUID of the run, canonical. Required: activity ids repeat in later runs.
    pub run_id: String,
    /// Activity id.
    pub activity_id: String,
    /// Attempt from 0; without it the engine answers for whichever is current.
    pub attempt: Option<i64>,
}

impl Target {
    /// The key under which answers to this target are told apart, if it names its attempt for certain. A reply by id has
    /// none, also with an attempt: the schedule id is only known after a look-up.
    #[must_use]
    pub fn key(&self) -> Option<TargetKey> {
        match self {
            Self::Token(token) => Some(TargetKey::of(&token.claims())),
            Self::ById(_) => None,
        }
    }

    /// Writes the text of [`Target::key`] to something that takes every text; false when there is none.
    pub(super) fn write_key(&self, out: &mut impl fmt::Write) -> bool {
        let Self::Token(token) = self else { return false };
        let claims = token.claims();
        let names = [claims.domain_id, claims.workflow_id, claims.run_id];
        write_key(out, names, claims.schedule_id, claims.attempt);
        true
    }

    /// The name of the domain, which a token does not tell.
    #[must_use]
    pub fn domain_name(&self) -> Option<&str> {
        match self {
            Self::Token(_) => None,
            Self::ById(id) => Some(&id.domain),
        }
    }

    /// The lane in which replies to this activity are kept in order: equal for a token and for the names of the same
    /// activity. A hash; two activities that share one only wait for each other.
    #[must_use]
    pub fn lane(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let (workflow_id, run_id, activity_id) = match self {
            Self::Token(token) => {
                let claims = token.claims();
                (claims.workflow_id, claims.run_id, claims.activity_id)
            }
            Self::ById(id) => (&id.workflow_id[..], &id.run_id[..], &id.activity_id[..]),
        };
        (workflow_id, run_id, activity_id).hash(&mut hasher);
        hasher.finish()
    }

    /// Id of the workflow.
    #[must_use]
    pub fn workflow_id(&self) -> &str {
        match self {
            Self::Token(token) => token.claims().workflow_id,
            Self::ById(id) => &id.workflow_id,
        }
    }

    /// The workflow, as a hash: a token and the names of the same workflow have the same one.
    #[must_use]
    pub fn workflow_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.workflow_id().hash(&mut hasher);
        hasher.finish()
    }

    /// What outcomes say about the activity, without copying names. The domain's name is not in a token: the caller adds
    /// it when known.
    #[must_use]
    pub fn into_activity(self) -> ActivityRef {
        match self {
            Self::Token(token) => ActivityRef::from(token.into_claims()),
            Self::ById(id) => ActivityRef::from(id),
        }
    }

    /// What outcomes say about the activity. The domain's name is not in a token: the caller adds it when known.
    #[must_use]
    pub fn activity(&self) -> ActivityRef {
        match self {
            Self::Token(token) => ActivityRef::from(token.claims().owned()),
            Self::ById(id) => ActivityRef::from(id.clone()),
        }
    }
}

/// `<domain_id>/<workflow_id>/<run_id>/<schedule_id>/<attempt>`, parts percent-encoded: names one attempt of one activity.
/// Key of outcome records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetKey(String);

impl TargetKey {
    /// The key of the attempt that a token names.
    #[must_use]
    pub fn of(claims: &TokenClaims<&str>) -> Self {
        let names = [claims.domain_id, claims.workflow_id, claims.run_id];
        Self::from_parts(names, claims.schedule_id, claims.attempt)
    }

    fn from_parts(names: [&str; 3], schedule_id: i64, attempt: i64) -> Self {
        let mut key = String::with_capacity(names.iter().map(|name| name.len()).sum::<usize>() + 16);
        write_key(&mut key, names, schedule_id, attempt);
        Self(key)
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as owned text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes the text of a [`TargetKey`] to something that takes every text.
fn write_key(out: &mut impl fmt::Write, names: [&str; 3], schedule_id: i64, attempt: i64) {
    for name in names {
        write_part(out, name);
        let _ = out.write_char('/');
    }
    let _ = write!(out, "{schedule_id}/{attempt}");
}

/// Appends a percent-encoded part to a key, after a slash unless it is the first.
pub(crate) fn push_part(key: &mut String, part: &str) {
    if !key.is_empty() {
        key.push('/');
    }
    write_part(key, part);
}

/// Writes a part of a key, percent-encoded, to something that takes every text.
fn write_part(out: &mut impl fmt::Write, part: &str) {
    // Most names need no encoding, and are written whole.
    if part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')) {
        let _ = out.write_str(part);
    } else {
        let _ = utf8_percent_encode(part, ENCODED).try_for_each(|piece| out.write_str(piece));
    }
}

/// An activity as outcomes and requests describe it. Every part is optional: a refused reply may name few of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ActivityRef {
    /// UUID of the domain.
    pub domain_id: Option<String>,
    /// Name of the domain.
    pub domain: Option<String>,
    /// Workflow id.
    pub workflow_id: Option<String>,
    /// UUID of the run.
    pub run_id: Option<String>,
    /// Event id of the activity's schedule event.
    pub schedule_id: Option<i64>,
    /// Attempt from 0.
    pub attempt: Option<i64>,
    /// Activity id; from a token it is a claim.
    pub activity_id: Option<String>,
    /// Activity type; from a token it is a claim.
    pub activity_type: Option<String>,
}

/// An [`ActivityRef`] without copies, for writing. The order of fields is that of the document.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ActivityView<'a> {
    domain_id: Option<&'a str>,
    domain: Option<&'a str>,
    workflow_id: Option<&'a str>,
    run_id: Option<&'a str>,
    schedule_id: Option<i64>,
    attempt: Option<i64>,
    activity_id: Option<&'a str>,
    pub(crate) activity_type: Option<&'a str>,
}

impl<'a> ActivityView<'a> {
    /// The activity that a reply is about. `domain` is the name of its domain, which is not in a token.
    pub(crate) fn of(target: &'a Target, domain: Option<&'a str>) -> Self {
        match target {
            Target::Token(token) => {
                let claims = token.claims();
                Self {
                    domain_id: Some(claims.domain_id),
                    domain,
                    workflow_id: Some(claims.workflow_id),
                    run_id: Some(claims.run_id),
                    schedule_id: Some(claims.schedule_id),
                    attempt: Some(claims.attempt),
                    activity_id: Some(claims.activity_id),
                    activity_type: Some(claims.activity_type).filter(|name| !name.is_empty()),
                }
            }
            Target::ById(id) => Self {
                domain_id: None,
                domain: Some(&id.domain),
                workflow_id: Some(&id.workflow_id),
                run_id: Some(&id.run_id),
                schedule_id: None,
                attempt: id.attempt,
                activity_id: Some(&id.activity_id),
                activity_type: None,
            },
        }
    }

    /// The fields, in the order of the contract.
    pub(crate) fn write(&self, doc: &mut Object<'_>) {
        doc.text("domain_id", self.domain_id);
        doc.text("domain", self.domain);
        doc.text("workflow_id", self.workflow_id);
        doc.text("run_id", self.run_id);
        doc.number("schedule_id", self.schedule_id);
        doc.number("attempt", self.attempt);
        doc.text("activity_id", self.activity_id);
        doc.text("activity_type", self.activity_type);
    }

    /// Writes the key of the attempt that it names, as [`ActivityRef::target_key`] has it; false when it names none for
    /// certain.
    pub(super) fn write_key(&self, out: &mut impl fmt::Write) -> bool {
        let (Some(domain), Some(workflow), Some(run)) = (self.domain_id, self.workflow_id, self.run_id) else {
            return false;
        };
        let (Some(schedule_id), Some(attempt)) = (self.schedule_id, self.attempt) else { return false };
        write_key(out, [domain, workflow, run], schedule_id, attempt);
        true
    }

    /// Length of the names, for a buffer.
    pub(crate) fn size_hint(&self) -> usize {
        let names = [self.domain, self.workflow_id, self.activity_id, self.activity_type];
        names.into_iter().flatten().map(str::len).sum()
    }
}

impl<'a> From<&'a ActivityRef> for ActivityView<'a> {
    fn from(activity: &'a ActivityRef) -> Self {
        Self {
            domain_id: activity.domain_id.as_deref(),
            domain: activity.domain.as_deref(),
            workflow_id: activity.workflow_id.as_deref(),
            run_id: activity.run_id.as_deref(),
            schedule_id: activity.schedule_id,
            attempt: activity.attempt,
            activity_id: activity.activity_id.as_deref(),
            activity_type: activity.activity_type.as_deref(),
        }
    }
}

impl Serialize for ActivityRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ActivityView::from(self).serialize(serializer)
    }
}

impl ActivityRef {
    /// The key of the attempt that it names, if it names one for certain.
    #[must_use]
    pub fn target_key(&self) -> Option<TargetKey> {
        let names = [self.domain_id.as_deref()?, self.workflow_id.as_deref()?, self.run_id.as_deref()?];
        Some(TargetKey::from_parts(names, self.schedule_id?, self.attempt?))
    }
}

impl From<TokenClaims> for ActivityRef {
    fn from(claims: TokenClaims) -> Self {
        Self {
            domain_id: Some(claims.domain_id),
            domain: None,
            workflow_id: Some(claims.workflow_id),
            run_id: Some(claims.run_id),
            schedule_id: Some(claims.schedule_id),
            attempt: Some(claims.attempt),
            activity_id: Some(claims.activity_id),
            activity_type: Some(claims.activity_type).filter(|name| !name.is_empty()),
        }
    }
}

impl From<ActivityId> for ActivityRef {
    fn from(id: ActivityId) -> Self {
        Self {
            domain: Some(id.domain),
            workflow_id: Some(id.workflow_id),
            run_id: Some(id.run_id),
            attempt: id.attempt,
            activity_id: Some(id.activity_id),
            ..Self::default()
        }
    }
}
