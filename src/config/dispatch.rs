//! `[dispatch]`: activities of Cadence task lists, published as requests.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::human;
use super::section::section;
use crate::wire::Encoding;

/// The activity type that stands for every other one.
pub const ANY_ACTIVITY: &str = "*";

section! {
    /// Activities of Cadence task lists, published as requests: `handback dispatch`, or `handback run` when `enabled`.
    pub struct Dispatch {
        // A bridge that begins to take activities away from the workers of a task list must be told to.
        /// Whether `handback run` dispatches too, in the same process. `handback dispatch` does in any case.
        pub enabled: bool = false,

        /// Which activities go where; the task lists that they name are polled. A table each: `domain`, `task_list`,
        /// `activity_type` (`*`: every other one), and as needed `topic` (default: `topics.requests`), `reply_to` (default:
        /// the first of `topics.replies`) and `encoding` of the arguments (`auto`, `go`, `java`, `python`).
        pub routes: Vec<Route> = Vec::new(),

        // A poll takes some milliseconds of the engine's: eight at once are more than a thousand tasks a second.
        /// Polls of each task list that wait at the engine at once.
        pub pollers: usize = 8,

        // Several times the pollers, so that they never wait for acknowledgements; what is in hand is lost to a crash for as
        // long as its timeout.
        /// Activities in hand at once, polled for and not published yet. At least `pollers` for each task list.
        pub max_in_hand: usize = 256,

        // As for the bridge: what a container of 128 MiB can hold beside everything else.
        /// Bytes of arguments in hand at once: beyond it nothing is polled for.
        pub max_in_hand_bytes: usize = 32 * 1024 * 1024,

        /// Upper limit of polls, and so of activities, a second over all task lists of this process. 0 means no limit. Polls
        /// that waited on idle lists may all bring one at once.
        pub max_tasks_per_second: u32 = 0,

        // One call to the engine and its repetition.
        /// How long before its deadline an activity that could not be published is failed (`handback.NotPublished`); at most
        /// half of the time that the attempt has.
        #[serde(with = "human")]
        pub give_up_before: Duration = Duration::from_secs(2),

        // 2 MiB, Cadence's limit, as base64, and 64 KiB for the rest: what `topics create` lets a request topic take.
        /// Largest request, in bytes of value and headers; larger ones fail the activity at once (`handback.TooLarge`).
        pub max_request_bytes: usize = (2 * 1024 * 1024_usize).div_ceil(3) * 4 + 64 * 1024,
    }
}

/// Where the activities of one type go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// Name of the domain.
    pub domain: String,
    /// Name of the task list that workflows schedule the activity on.
    pub task_list: String,
    /// Activity type, exactly as the workflow names it, or [`ANY_ACTIVITY`].
    pub activity_type: String,
    /// Topic for the requests. Empty means `topics.requests`.
    pub topic: String,
    /// Topic for the replies, one of `topics.replies`. Empty means the first of them.
    pub reply_to: String,
    /// How the workflow's client writes arguments.
    pub encoding: Encoding,
}

impl Route {
    /// The names of the fields.
    pub(super) const FIELDS: [&'static str; 6] =
        ["domain", "task_list", "activity_type", "topic", "reply_to", "encoding"];
}
