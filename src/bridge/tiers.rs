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
    /// The part of the engine that its workflow is in is unwell, and the engine is well otherwise.
    Shard,
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
    /// Somebody has to mend something first: a domain that fails over, a right that is missing.
    Parked,
    /// The engine does not know its domain.
    UnknownDomain,
    /// An earlier reply to the same attempt has left.
    Following,
}

impl Cause {
    /// Short name, for metrics and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Shard => "shard_unwell",
            Self::NotReady => "not_ready",
            Self::Unknown => "unknown",
            Self::Unasked => "cancel_not_requested",
            Self::Busy => "busy",
            Self::Crowded => "crowded",
            Self::Parked => "parked",
            Self::UnknownDomain => "unknown_domain",
            Self::Following => "following",
        }
    }

    /// All of them, in the order of their declaration.
    pub(crate) const ALL: [Self; 10] = [
        Self::Failing,
        Self::Shard,
        Self::NotReady,
        Self::Unknown,
        Self::Unasked,
        Self::Busy,
        Self::Crowded,
        Self::Parked,
        Self::UnknownDomain,
        Self::Following,
    ];

    /// Whether it is the record's own, so that its tries are counted and come to an end.
    pub(crate) const fn counts(self) -> bool {
        match self {
            Self::Failing | Self::NotReady | Self::Unknown | Self::Unasked => true,
            Self::Shard | Self::Busy | Self::Crowded | Self::Parked | Self::UnknownDomain | Self::Following => false,
        }
    }
}

/// Where a reply is that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    /// The tier it was read from; `None` on a reply topic.
    pub(crate) at: Option<usize>,
    /// Tiers that it has passed for reasons of its own.
    pub(crate) passed: usize,
    /// Since it was first in hand.
    pub(crate) age: Duration,
}

/// The tier that comes next of `tiers` many, or `None` when the reply has reached its end. `max_parked` ends what nobody
/// mends; an engine that is too busy or unwell in part, or a process that is too full, ends nothing.
pub(crate) fn next(cause: Cause, stay: Stay, tiers: usize, max_parked: Duration) -> Option<usize> {
    let last = tiers.checked_sub(1)?;
    match cause {
        // What it went through for other reasons costs it no tier.
        Cause::Failing | Cause::NotReady | Cause::Unknown => (stay.passed <= last).then_some(stay.passed),
        // Once is enough for a request that was on its way: a service that is wrong should hear so soon.
        Cause::Unasked => (stay.passed == 0).then_some(0),
        Cause::Shard | Cause::Busy => Some(stay.at.map_or(0, |at| at + 1).min(last)),
        // It has had no fair try yet.
        Cause::Crowded | Cause::Following => Some(stay.at.unwrap_or(0).min(last)),
        Cause::Parked | Cause::UnknownDomain => (stay.age < max_parked).then_some(last),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// The tiers that a reply passes that meets these causes, one after the other.
    fn path(causes: impl IntoIterator<Item = Cause>, tiers: usize) -> Vec<usize> {
        let mut path: Vec<usize> = Vec::new();
        let mut passed = 0;
        for cause in causes {
            let stay = Stay { at: path.last().copied(), passed, age: Duration::ZERO };
            let Some(tier) = next(cause, stay, tiers, DAY) else { break };
            passed += usize::from(cause.counts());
            path.push(tier);
        }
        path
    }

    /// The tiers of a reply that always meets the same.
    fn always(cause: Cause, tiers: usize) -> Vec<usize> {
        path([cause; 6], tiers)
    }

    #[test]
    fn what_is_the_records_own_comes_to_an_end() {
        for cause in [Cause::Failing, Cause::NotReady, Cause::Unknown] {
            assert_eq!(always(cause, 3), [0, 1, 2]);
            assert_eq!(always(cause, 1), [0]);
        }
        assert_eq!(always(Cause::Unasked, 3), [0]);
    }

    #[test]
    fn what_is_not_the_records_own_goes_on_until_it_is_too_old() {
        assert_eq!(always(Cause::Busy, 3), [0, 1, 2, 2, 2, 2]);
        assert_eq!(always(Cause::Shard, 3), [0, 1, 2, 2, 2, 2]);
        assert_eq!(always(Cause::Crowded, 3), [0, 0, 0, 0, 0, 0]);
        assert_eq!(always(Cause::Parked, 3), [2, 2, 2, 2, 2, 2]);
        assert_eq!(always(Cause::UnknownDomain, 3), [2, 2, 2, 2, 2, 2]);
        for cause in Cause::ALL {
            let stay = Stay { at: Some(1), passed: 0, age: DAY };
            assert_eq!(
                next(cause, stay, 3, DAY).is_none(),
                matches!(cause, Cause::Parked | Cause::UnknownDomain),
                "{cause:?}"
            );
        }
    }

    #[test]
    fn a_failover_costs_no_tier() {
        use Cause::{Busy, Failing, Parked, Unknown};
        assert_eq!(path([Failing, Parked, Unknown, Failing, Failing], 3), [0, 2, 1, 2]);
        assert_eq!(path([Busy, Busy, Busy, Unknown, Busy, Unknown, Unknown, Unknown], 3), [0, 1, 2, 0, 1, 1, 2]);
    }

    proptest! {
        /// Whatever it meets in whatever order: each reason of its own costs one tier, the others none.
        #[test]
        fn a_reply_has_all_its_tiers(met in proptest::collection::vec(0..Cause::ALL.len(), 0..40), tiers in 1usize..4) {
            let met: Vec<Cause> = met.into_iter().map(|n| Cause::ALL[n]).filter(|cause| *cause != Cause::Unasked).collect();
            let own = met.iter().filter(|cause| cause.counts()).count();
            let path = path(met.iter().copied(), tiers);
            prop_assert!(path.iter().all(|tier| *tier < tiers));
            if own <= tiers {
                prop_assert_eq!(path.len(), met.len());
            } else {
                let end = met.iter().enumerate().filter(|(_, cause)| cause.counts()).nth(tiers).map(|(at, _)| at);
                prop_assert_eq!(Some(path.len()), end);
            }
        }
    }

    #[test]
    fn without_retry_topics_nothing_leaves() {
        for cause in Cause::ALL {
            assert!(always(cause, 0).is_empty());
        }
    }

    #[test]
    fn fewer_tiers_than_before_are_no_trouble() {
        for cause in Cause::ALL {
            let tier = next(cause, Stay { at: Some(1), passed: 5, age: Duration::ZERO }, 2, DAY);
            assert!(tier.is_none_or(|tier| tier < 2), "{cause:?}");
        }
    }
}
