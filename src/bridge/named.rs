//! Which attempt of an activity a reply names, as far as replies to one activity have to be told apart.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::wire::Target;

/// What a reply names beside workflow, run and activity. Ordered by attempt; without one comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    attempt: i64,
    schedule_id: i64,
    by_name: bool,
    domain: u64,
}

/// Of names without an attempt: the engine answers for whichever is current.
const NO_ATTEMPT: i64 = i64::MAX;

/// Of names: only tokens tell.
const NO_SCHEDULE: i64 = -1;

impl Named {
    pub(crate) fn of(target: &Target) -> Self {
        match target {
            Target::Token(token) => {
                let claims = token.claims();
                let domain = hash(claims.domain_id);
                Self { attempt: claims.attempt, schedule_id: claims.schedule_id, by_name: false, domain }
            }
            Target::ById(id) => {
                let attempt = id.attempt.unwrap_or(NO_ATTEMPT);
                Self { attempt, schedule_id: NO_SCHEDULE, by_name: true, domain: hash(&id.domain) }
            }
        }
    }

    /// Whether both may be the same attempt of the same activity, given that workflow, run and activity id are equal: a token
    /// has the id of its domain, names have its name.
    pub(crate) fn may_be(&self, other: &Self) -> bool {
        let differ = |mine: i64, theirs: i64, unknown: i64| mine != theirs && mine != unknown && theirs != unknown;
        !(differ(self.attempt, other.attempt, NO_ATTEMPT)
            || differ(self.schedule_id, other.schedule_id, NO_SCHEDULE)
            || self.by_name == other.by_name && self.domain != other.domain)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
