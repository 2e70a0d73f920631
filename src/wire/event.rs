//! What a CloudEvent calls itself.

use serde::Deserialize;

/// Longest `id` and longest `source` of a CloudEvent, in bytes: both are copied into the outcome, which must fit its topic.
pub const MAX_EVENT_NAME_BYTES: usize = 1024;

/// The names of a CloudEvent. They are recorded in the outcome and are no key: SDKs make a new `id` for every send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EventRef {
    /// Attribute `id`, 1 to 1024 bytes.
    pub id: String,
    /// Attribute `source`, 1 to 1024 bytes; a URI reference, which is not checked.
    pub source: String,
}
