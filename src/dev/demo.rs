//! The demo: a handful of orders whose activities are answered by services, well and badly.

use serde_json::json;

use super::engine::{ActivityPlan, Plan, RetryPlan};

/// Domain of the demo's workflows.
pub(super) const DOMAIN: &str = "demo";

/// Their task list.
pub(super) const TASK_LIST: &str = "orders";

/// Activity type that no service answers.
pub(super) const WAITING: &str = "AskAPerson";

/// The order that its customer cancels.
pub(super) const CANCELED: &str = "order-1008";

/// An order and what there is to see in it.
pub(super) struct Story {
    /// The workflow's id.
    pub(super) workflow_id: &'static str,
    /// One line for the audience.
    pub(super) tells: &'static str,
    /// What the workflow does.
    pub(super) plan: Plan,
}

/// The stories, in the order of their numbers.
pub(super) fn stories() -> Vec<Story> {
    let story = |workflow_id, tells, activities: Vec<ActivityPlan>| {
        let plan = Plan { activities, sequential: true, stay_open: false };
        Story { workflow_id, tells, plan }
    };
    vec![
        story(
            "order-1001",
            "four services in a row; the first answers as Spring does, by headers alone",
            vec![
                activity("ScoreFraud", 1_250),
                activity("ReserveStock", 1_250),
                activity("ChargeCard", 1_250),
                activity("ShipParcel", 1_250),
            ],
        ),
        story(
            "order-1002",
            "the card is declined: the workflow sees CardDeclined and goes another way",
            vec![activity("ReserveStock", 99_900), activity("ChargeCard", 99_900), activity("ReleaseStock", 99_900)],
        ),
        story("order-1003", "the courier is busy at first; Cadence tries again after a second", vec![retried()]),
        story("order-1004", "packing takes longer than its heartbeat timeout, and says so in time", vec![slow()]),
        story("order-1005", "a service that answers twice", vec![activity("SendReceipt", 2_100)]),
        story("order-1006", "a service that writes rubbish before its reply", vec![activity("PrintLabel", 700)]),
        story("order-1007", "a service that kept no token answers by id", vec![activity("PostLedger", 3_300)]),
        story(
            CANCELED,
            "canceled on the way; the service learns it from an outcome of its heartbeats",
            vec![ActivityPlan { heartbeat_seconds: 5, ..activity("HoldParcel", 5_600) }],
        ),
    ]
}

/// A workflow that waits for a person: no service answers its activity.
pub(super) fn waiting(number: u32) -> (String, Plan) {
    let mut approval = ActivityPlan::new("1", WAITING);
    approval.input = vec![json!({"question": "ship it?"})];
    // As long as the workflow itself may take.
    approval.start_to_close_seconds = 86_400;
    (format!("play-{number}"), Plan::parallel([approval]))
}

fn activity(activity_type: &str, amount: u32) -> ActivityPlan {
    let mut plan = ActivityPlan::new(activity_type.to_lowercase(), activity_type);
    plan.input = vec![json!({"amount": amount})];
    plan.start_to_close_seconds = 60;
    plan
}

fn retried() -> ActivityPlan {
    let retry = RetryPlan { initial_interval_seconds: 1, backoff: 1.0, max_attempts: 3, non_retriable: Vec::new() };
    ActivityPlan { retry: Some(retry), ..activity("BookCourier", 4_900) }
}

fn slow() -> ActivityPlan {
    ActivityPlan { heartbeat_seconds: 2, ..activity("PackParcel", 8_400) }
}
