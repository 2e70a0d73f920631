//! Which retry topic a reply goes to next. Pure: a table of reasons, and nothing else.

use std::sync::Arc;
use std::time::Duration;

/// A retry topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its name.
    pub topic: Arc<str>,
    /// How long a record waits on it.
    pub delay: Duration,
}

/// Why a reply leaves for a retry topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its calls fail, and the engine is well otherwise.
    Failing,
    /// What it answers has not begun, or is listed and not found.
    NotReady,
    /// The engine knows no such workflow or activity; it may not know it yet.
    Unknown,
    /// It cancels what nobody has asked to stop.
    Unasked,
    /// The engine asks for less load.
    Busy,
    /// Too many others wait in this process.
    Crowded,
    /// Somebody has to mend something first: a domain that fails over or is unknown, a right that is missing.
    Parked,
}

impl Cause {
    /// Short name, for metrics and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::NotReady => "not_ready",
            Self::Unknown => "unknown",
            Self::Unasked => "cancel_not_requested",
            Self::Busy => "busy",
            Self::Crowded => "crowded",
            Self::Parked => "parked",
        }
    }

    /// All of them, in the order of their declaration.
    pub(crate) const ALL: [Self; 7] =
        [Self::Failing, Self::NotReady, Self::Unknown, Self::Unasked, Self::Busy, Self::Crowded, Self::Parked];

    /// Whether it is the record's own, so that its tries are counted and come to an end.
    pub(crate) const fn counts(self) -> bool {
        match self {
            Self::Failing | Self::NotReady | Self::Unknown | Self::Unasked => true,
            Self::Busy | Self::Crowded | Self::Parked => false,
        }
    }
}

/// Where a reply is that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    /// The tier it was read from; `None` on a reply topic.
    pub(crate) at: Option<usize>,
    /// Since it was first in hand.
    pub(crate) age: Duration,
}

/// The tier that comes next of `tiers` many, or `None` when the reply has reached its end. `max_parked` ends what is not
/// counted.
pub(crate) fn next(cause: Cause, stay: Stay, tiers: usize, max_parked: Duration) -> Option<usize> {
    let last = tiers.checked_sub(1)?;
    let further = stay.at.map_or(0, |at| at + 1);
    if !cause.counts() && stay.age >= max_parked {
        return None;
    }
    match cause {
        Cause::Failing | Cause::NotReady | Cause::Unknown => (further <= last).then_some(further),
        // Once is enough for a request that was on its way: a service that is wrong should hear so soon.
        Cause::Unasked => stay.at.is_none().then_some(0),
        Cause::Busy => Some(further.min(last)),
        // It has had no fair try yet.
        Cause::Crowded => Some(stay.at.unwrap_or(0).min(last)),
        Cause::Parked => Some(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// The tiers that a reply passes that always meets the same.
    fn path(cause: Cause, tiers: usize) -> Vec<usize> {
        let mut path: Vec<usize> = Vec::new();
        while path.len() < 6 {
            let stay = Stay { at: path.last().copied(), age: Duration::ZERO };
            let Some(tier) = next(cause, stay, tiers, DAY) else { break };
            path.push(tier);
        }
        path
    }

    #[test]
    fn what_is_the_records_own_comes_to_an_end() {
        for cause in [Cause::Failing, Cause::NotReady, Cause::Unknown] {
            assert_eq!(path(cause, 3), [0, 1, 2]);
            assert_eq!(path(cause, 1), [0]);
        }
        assert_eq!(path(Cause::Unasked, 3), [0]);
    }

    #[test]
    fn what_is_not_the_records_own_goes_on_until_it_is_too_old() {
        assert_eq!(path(Cause::Busy, 3), [0, 1, 2, 2, 2, 2]);
        assert_eq!(path(Cause::Crowded, 3), [0, 0, 0, 0, 0, 0]);
        assert_eq!(path(Cause::Parked, 3), [2, 2, 2, 2, 2, 2]);
        for cause in Cause::ALL {
            let stay = Stay { at: Some(1), age: DAY };
            assert_eq!(next(cause, stay, 3, DAY).is_none(), !cause.counts() || cause == Cause::Unasked, "{cause:?}");
        }
    }

    #[test]
    fn without_retry_topics_nothing_leaves() {
        for cause in Cause::ALL {
            assert!(path(cause, 0).is_empty());
        }
    }

    #[test]
    fn a_tier_that_was_taken_out_of_the_settings_is_no_trouble() {
        for cause in Cause::ALL {
            let tier = next(cause, Stay { at: Some(5), age: Duration::ZERO }, 2, DAY);
            assert!(tier.is_none_or(|tier| tier < 2), "{cause:?}");
        }
    }
}
