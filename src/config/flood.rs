//! `[flood]`: when a topic of replies is stopped because of its dead letters.

use std::time::Duration;

use super::human;
use super::section::section;

section! {
    /// When a topic of replies is stopped because of its dead letters. Counted by each worker for itself; duplicates,
    /// conflicts and replies that come too late do not count.
    pub struct Flood {
        /// Whether a topic is stopped at all. `false` lets everything go to the dead-letter topic.
        pub enabled: bool = true,

        // A wrong deployment shows within seconds; slow trouble of a day must not add up to a flood.
        /// Dead letters are counted over this long. A trial that has not decided by then lets everything flow.
        #[serde(with = "human")]
        pub window: Duration = Duration::from_secs(60),

        // Somebody who tries out what handback makes of rubbish sends twenty. Few enough to be looked through by hand.
        /// Fewer dead letters than this in the window never stop a topic.
        pub max_dead_letters: usize = 50,

        // One service among several that has gone wrong is not worth stopping the others for.
        /// Share of dead letters among a topic's replies in the window that stops it: above 0, up to 1.
        pub share: f64 = 0.5,

        // As long as a deployment takes to be rolled back, at the least.
        /// How long a topic is stopped before some of its replies are tried. Twice as long each time that they fail.
        #[serde(with = "human")]
        pub pause: Duration = Duration::from_secs(30),

        // Nobody who has mended the cause waits longer than this for its effect.
        /// Longest stop.
        #[serde(with = "human")]
        pub max_pause: Duration = Duration::from_secs(300),

        // Enough to tell a half from none; few enough to be lost among the dead letters that there are.
        /// Replies that are tried after a stop. When the share of dead letters among them is reached, the topic stops again.
        pub trial: usize = 10,
    }
}
