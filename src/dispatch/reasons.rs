//! Why an attempt is failed without anybody having worked on it. Pure.

use bytes::Bytes;

use crate::wire::{Failure, FailureStyle};

/// The reasons of failures that dispatching gives to the engine. They are part of the contract with workflows: what a retry
/// policy should not try again has to be on its list of non-retriable reasons, which the engine compares exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no route for this activity type. Trying again helps once somebody adds one.
    NoRoute,
    /// The request is larger than `dispatch.max_request_bytes`. Trying again does not help.
    TooLarge,
    /// The request could not be written before the attempt's deadline, or before the process ended. Trying again may help.
    NotPublished,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::NoRoute, Self::TooLarge, Self::NotPublished];

    /// The text that retry policies compare. Workflows in Go see it as the reason of a `CustomError`, those in Java in the
    /// message of an `ActivityFailureException`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRoute => "handback.NoRoute",
            Self::TooLarge => "handback.TooLarge",
            Self::NotPublished => "handback.NotPublished",
        }
    }

    /// The failure as the engine takes it: `detail`, for people, is a JSON string.
    pub(super) fn failure(self, detail: &str) -> Failure {
        Failure {
            reason: self.as_str().to_owned(),
            message: None,
            details: Some(Bytes::from(serde_json::Value::from(detail).to_string())),
            style: FailureStyle::Custom,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;
    use crate::wire::RESERVED_REASON;

    #[test]
    fn a_reason_is_custom_and_its_detail_is_one_json_string() {
        for reason in Reason::ALL {
            let failure = reason.failure("no \"route\"\n");
            assert_eq!(failure.engine_reason(), reason.as_str());
            assert!(!reason.as_str().starts_with(RESERVED_REASON));
            assert_eq!(failure.engine_details().unwrap(), r#""no \"route\"\n""#);
        }
    }
}
