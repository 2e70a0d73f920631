//! The worker's commands to the consumer thread.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, TryRecvError};

use crate::bridge::seams::{Command, PartitionId};

/// Commands in order, except that stores can be taken out ahead of the rest.
#[derive(Debug)]
pub(super) struct Inbox {
    commands: Receiver<Command>,
    kept: VecDeque<Command>,
}

impl Inbox {
    pub(super) fn new(commands: Receiver<Command>) -> Self {
        Self { commands, kept: VecDeque::new() }
    }

    /// The next command, if there is one. A worker that is gone counts as one that said [`Command::Close`].
    pub(super) fn next(&mut self) -> Option<Command> {
        self.kept.pop_front().or_else(|| match self.commands.try_recv() {
            Ok(command) => Some(command),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Command::Close),
        })
    }

    /// All stores that wait, for a partition that is about to leave: afterwards they would be refused.
    pub(super) fn take_stores(&mut self) -> Vec<(PartitionId, i64)> {
        self.kept.extend(self.commands.try_iter());
        let mut offsets = Vec::new();
        self.kept.retain_mut(|command| match command {
            Command::Store(some) => {
                offsets.append(some);
                false
            }
            Command::Pause(_) | Command::Resume(_) | Command::Close => true,
        });
        offsets
    }
}
