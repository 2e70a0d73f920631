//! What librdkafka offers and its Rust wrapper does not: the only folder of handback that may say `unsafe`.
//!
//! Each block states why it is sound, and each function here takes and gives safe types only.

mod events;
mod group;
mod headers;
mod message;
mod offsets;
mod topics;

pub(super) use events::{Event, EventConsumer, Place, Trouble};
pub(super) use group::describe;
pub use headers::to_send;
pub(crate) use message::Message;
pub(super) use offsets::Spec;
pub(crate) use topics::Topic;
