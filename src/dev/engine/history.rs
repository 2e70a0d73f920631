//! The events of one workflow run.

use std::time::SystemTime;

use prost_types::{Duration, Timestamp};

use super::clock;
use crate::cadence::api::{self, history_event::Attributes};

/// Who takes the decisions of the engine's workflows.
pub(super) const DECIDER: &str = "handback-dev-decider";

/// Events in the batches in which they were written: pages count batches.
#[derive(Debug, Default)]
pub(super) struct History {
    events: Vec<api::HistoryEvent>,
    batches: Vec<usize>,
}

impl History {
    /// Begins a batch.
    pub(super) fn begin(&mut self) {
        if self.batches.last() != Some(&self.events.len()) {
            self.batches.push(self.events.len());
        }
    }

    /// Appends an event to the present batch and returns its id.
    pub(super) fn record(&mut self, attributes: Attributes) -> i64 {
        self.record_at(attributes, clock::now())
    }

    pub(super) fn record_at(&mut self, attributes: Attributes, time: SystemTime) -> i64 {
        let event_id = self.next_id();
        self.events.push(api::HistoryEvent {
            event_id,
            event_time: Some(Timestamp::from(time)),
            version: 0,
            task_id: event_id,
            attributes: Some(attributes),
        });
        event_id
    }

    /// Id of the next event: ids count from one.
    pub(super) fn next_id(&self) -> i64 {
        self.events.len() as i64 + 1
    }

    /// Decides at once: a scheduled task in the present batch, its start in one of its own, and the batch of its
    /// completion begun. Returns the completion's id.
    pub(super) fn decide(&mut self, task_list: &str) -> i64 {
        let scheduled_event_id =
            self.record(Attributes::DecisionTaskScheduledEventAttributes(api::DecisionTaskScheduledEventAttributes {
                task_list: Some(named(task_list)),
                start_to_close_timeout: Some(seconds(10)),
                attempt: 0,
            }));
        self.begin();
        let started_event_id =
            self.record(Attributes::DecisionTaskStartedEventAttributes(api::DecisionTaskStartedEventAttributes {
                scheduled_event_id,
                identity: DECIDER.to_owned(),
                request_id: String::new(),
            }));
        self.begin();
        self.record(Attributes::DecisionTaskCompletedEventAttributes(api::DecisionTaskCompletedEventAttributes {
            scheduled_event_id,
            started_event_id,
            identity: DECIDER.to_owned(),
            ..Default::default()
        }))
    }

    /// Up to `batches` batches from the event `from` on, without events from `until` on, and where the rest begins.
    pub(super) fn page(&self, from: i64, until: i64, batches: usize) -> (Vec<api::HistoryEvent>, Option<i64>) {
        let start = usize::try_from(from - 1).unwrap_or(0);
        let end = usize::try_from(until - 1).unwrap_or(0).min(self.events.len());
        let after = self.batches.partition_point(|first| *first <= start);
        let stop = self.batches.get(after + batches.max(1) - 1).copied().unwrap_or(end).min(end);
        let events = self.events.get(start..stop).unwrap_or_default().to_vec();
        (events, (stop < end).then_some(stop as i64 + 1))
    }

    pub(super) fn last(&self) -> Option<&api::HistoryEvent> {
        self.events.last()
    }
}

pub(super) fn named(task_list: &str) -> api::TaskList {
    api::TaskList { name: task_list.to_owned(), kind: api::TaskListKind::Normal as i32, ..Default::default() }
}

pub(super) fn seconds(seconds: u32) -> Duration {
    Duration { seconds: i64::from(seconds), nanos: 0 }
}
