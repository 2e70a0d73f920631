//! Which activity a reply names: by token, by ids, or by both.

use std::borrow::Cow;

use bytes::Bytes;

use super::super::token::is_canonical_uuid;
use super::super::{ActivityId, TaskToken};
use super::{ActivityRef, Fault, MAX_ID_BYTES, RawToken, RefusalCode, Seen, Target};

/// How the place of a part is called in details.
#[derive(Clone, Copy)]
pub(super) struct Words {
    /// Code for a part that is out of range.
    pub(super) code: RefusalCode,
    pub(super) token: &'static str,
    pub(super) domain: &'static str,
    pub(super) workflow_id: &'static str,
    pub(super) run_id: &'static str,
    pub(super) activity_id: &'static str,
    pub(super) attempt: &'static str,
}

/// The ids of a reply as far as they are given.
#[derive(Default)]
pub(super) struct Ids<'a> {
    pub(super) domain: Option<Cow<'a, str>>,
    pub(super) workflow_id: Option<Cow<'a, str>>,
    pub(super) run_id: Option<Cow<'a, str>>,
    pub(super) activity_id: Option<Cow<'a, str>>,
    pub(super) attempt: Option<i64>,
}

impl Ids<'_> {
    fn activity(&self) -> ActivityRef {
        let owned =
            |part: &Option<Cow<'_, str>>| part.as_deref().filter(|p| p.len() <= MAX_ID_BYTES).map(str::to_owned);
        ActivityRef {
            domain: owned(&self.domain),
            workflow_id: owned(&self.workflow_id),
            run_id: owned(&self.run_id),
            activity_id: owned(&self.activity_id),
            attempt: self.attempt,
            ..ActivityRef::default()
        }
    }
}

/// Checks the token and the ids and makes the target of them. The token is used when both are given, and the ids must
/// agree with it.
pub(super) fn resolve(
    token: Option<Bytes>,
    ids: Option<&Ids<'_>>,
    words: &Words,
    seen: &mut Seen,
) -> Result<Target, Fault> {
    let Some(token) = token else {
        let Some(ids) = ids else {
            let detail = "neither `task_token` nor `activity` says which activity is meant";
            return Err(Fault::new(RefusalCode::NoTarget, detail));
        };
        seen.activity = Some(ids.activity());
        return by_id(ids, words).map(Target::ById);
    };
    seen.token = Some(RawToken::new(token.clone()));
    let token = TaskToken::check(token)
        .map_err(|fault| Fault::new(RefusalCode::BadToken, format!("{} {}", words.token, fault.problem())))?;
    if let Some(ids) = ids {
        agree(&token, ids, words)?;
    }
    Ok(Target::Token(token))
}

fn agree(token: &TaskToken, ids: &Ids<'_>, words: &Words) -> Result<(), Fault> {
    let claims = token.claims();
    let pairs = [
        (&ids.workflow_id, claims.workflow_id, words.workflow_id),
        (&ids.run_id, claims.run_id, words.run_id),
        (&ids.activity_id, claims.activity_id, words.activity_id),
    ];
    for (given, claimed, word) in pairs {
        if given.as_ref().is_some_and(|given| given != claimed) {
            let detail = format!("{word} is not the one in {}", words.token);
            return Err(Fault::new(RefusalCode::TargetMismatch, detail));
        }
    }
    Ok(())
}

fn by_id(ids: &Ids<'_>, words: &Words) -> Result<ActivityId, Fault> {
    let domain = part(ids.domain.as_ref(), words.domain, words)?;
    let workflow_id = part(ids.workflow_id.as_ref(), words.workflow_id, words)?;
    let run_id = part(ids.run_id.as_ref(), words.run_id, words)?;
    if !is_canonical_uuid(&run_id) {
        let detail = format!("{} is not a UUID in canonical form (lower case, with hyphens)", words.run_id);
        return Err(Fault::new(words.code, detail));
    }
    let activity_id = part(ids.activity_id.as_ref(), words.activity_id, words)?;
    Ok(ActivityId { domain, workflow_id, run_id, activity_id, attempt: ids.attempt })
}

fn part(given: Option<&Cow<'_, str>>, word: &str, words: &Words) -> Result<String, Fault> {
    let missing = || {
        let detail = format!("{word} is missing; without a task token it is required");
        Fault::new(RefusalCode::MissingField, detail)
    };
    let given = given.ok_or_else(missing)?;
    if (1..=MAX_ID_BYTES).contains(&given.len()) {
        return Ok(given.clone().into_owned());
    }
    let detail = format!("{word} must have 1 to {MAX_ID_BYTES} bytes; it has {}", given.len());
    Err(Fault::new(words.code, detail))
}
