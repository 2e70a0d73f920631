//! What nobody foresees of a reply: the table of what counts as a flood. Pure.

use super::tiers::Cause;
use crate::wire::{OutcomeKind, RefusalCode};

/// Whether a dead letter of this kind is one that nobody foresees. `code` is that of a rejected reply.
#[must_use]
pub(crate) fn is_unforeseen(outcome: OutcomeKind, code: Option<RefusalCode>) -> bool {
    match outcome {
        OutcomeKind::Applied => false,
        // The answer has reached its activity, once: services repeat themselves, also in masses after an outage.
        OutcomeKind::Duplicate | OutcomeKind::Conflict => false,
        // Late, and known to be: a slow service or a mass termination makes many, and each of them is explained.
        OutcomeKind::Superseded | OutcomeKind::TimedOut | OutcomeKind::WorkflowClosed => false,
        // Tokens of another cluster look like this.
        OutcomeKind::Unknown => true,
        // So do they where looking is not allowed or has reached its limits. That half of a topic cannot be explained is
        // for somebody to see, and a pause lets the looks catch up.
        OutcomeKind::NotFound => true,
        // Given up although nothing is wrong with the reply itself.
        OutcomeKind::Exhausted => true,
        OutcomeKind::Rejected => code.is_none_or(is_unforeseen_refusal),
    }
}

fn is_unforeseen_refusal(code: RefusalCode) -> bool {
    use RefusalCode as C;
    match code {
        // Not what the contract asks for: the wrong serialiser, another topic's records.
        C::Tombstone | C::EmptyValue | C::BadUtf8 | C::BadJson | C::CloudEventsUnsupported | C::RequireJson => true,
        C::UnknownField | C::DuplicateField | C::MissingField | C::BadField | C::BadBase64 => true,
        C::BadHeader | C::UnreadableHeaders | C::HeaderRepeated | C::AmbiguousMode => true,
        // It names no activity, or not one.
        C::NoTarget | C::BadToken | C::TargetMismatch => true,
        // Its parts do not fit: a wrong client.
        C::Contradiction | C::MissingReason | C::MissingMessage | C::ReservedReason => true,
        C::TooLarge | C::MetadataTooLarge => true,
        // Right in itself and not allowed here: a service of another installation, or settings that are wrong.
        C::DomainNotAllowed | C::FailByIdWithoutAttempt => true,
        // Somebody else writes on topics that are handback's own.
        C::BadRetryState => true,
        // The service has not read what it was told, or not waited for it.
        C::CancelNotRequested => true,
        // The engine understands the reply and will never take it.
        C::EngineRefused => true,
        // Ours to mend; until then as little as possible is to be given up.
        C::InternalError => true,
    }
}

/// Whether a reply that leaves for a retry topic for this cause does what nobody foresees. It counts at once, and not only
/// when it comes back as a dead letter: a topic full of such replies is to be seen now.
#[must_use]
pub(crate) const fn is_unforeseen_delay(cause: Cause) -> bool {
    match cause {
        // Tokens of another cluster look like this.
        Cause::Unknown => true,
        // A wrong client: it cancels unasked, or answers attempts that have not begun.
        Cause::Unasked | Cause::NotReady => true,
        // For whoever asks: only of a domain that the engine has never known.
        Cause::UnknownDomain => true,
        // The engine's, or this process's.
        Cause::Failing | Cause::Shard | Cause::Busy | Cause::Crowded => false,
        // A domain that fails over, or a right that is missing: unready says so, and all replies to it meet the same.
        Cause::Parked => false,
        // An answer behind cancels that nobody asked for: nothing says that it is wrong. One that is like what it follows has
        // that one's cause (`Core::following`) and counts as it does: it becomes a dead letter like it.
        Cause::Following => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_foresees_counts() {
        use OutcomeKind::{Exhausted, NotFound, Rejected, Unknown};
        for kind in OutcomeKind::ALL {
            let counts = matches!(kind, Unknown | NotFound | Exhausted | Rejected);
            assert_eq!(is_unforeseen(kind, None), counts, "{kind}");
            for code in RefusalCode::ALL {
                assert_eq!(is_unforeseen(kind, Some(*code)), counts, "{kind} {code}");
            }
        }
    }

    #[test]
    fn only_delays_that_nobody_foresees_count() {
        let counting: Vec<_> = Cause::ALL.into_iter().filter(|cause| is_unforeseen_delay(*cause)).collect();
        assert_eq!(counting, [Cause::NotReady, Cause::Unknown, Cause::Unasked, Cause::UnknownDomain]);
    }
}
