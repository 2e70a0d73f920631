//! What librdkafka offers and its Rust wrapper does not: the only folder of handback that may say `unsafe`.
//!
//! Each block states why it is sound, and each function here takes and gives safe types only.

mod events;
mod group;
mod headers;
mod lists;
mod message;
mod offsets;
mod topic_ids;
mod topics;

pub(super) use events::{Event, EventConsumer, Place, Trouble};
pub(super) use group::describe;
pub use headers::to_send;
pub(super) use lists::{notes, set_leader_epoch};
pub(crate) use message::Message;
pub(super) use offsets::Spec;
pub(super) use topic_ids::{AskTopicIds, TopicId, TopicIds};
pub(crate) use topics::Topic;
