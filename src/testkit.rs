//! For tests of services and workflows: broker, workflow engine and bridge in one process, with nothing to install.
//!
//! The broker speaks Kafka over TCP, the engine Cadence's gRPC; both keep everything in memory and are gone with the
//! [`Stack`]. What they leave out is listed at [`engine`].
//!
//! ```
//! use std::time::Duration;
//!
//! use handback::publish::Publisher;
//! use handback::testkit::Stack;
//! use handback::testkit::engine::Ending;
//! use handback::wire::{Answer, Limits};
//! # tokio::runtime::Runtime::new()?.block_on(async {
//!
//! let stack = Stack::start().await?;
//! // What a worker does: takes an activity and publishes a request.
//! let request = stack.activity("ChargeCard", &[serde_json::json!({"amount": 7})])?;
//! let publisher = Publisher::connect(&stack.settings().kafka)?;
//! publisher.publish(request.to_record("activity-requests".into())).await?;
//!
//! // What the service under test does: it connects to `stack.settings().kafka.brokers`, reads the request, and answers.
//! let reply = request.reply(Answer::completed("ch_1")?).into_record("activity-replies".into(), &Limits::default())?;
//! publisher.publish(reply).await?;
//!
//! let closing = stack.closed(&request, Duration::from_secs(30)).await.ok_or("the activity is still open")?;
//! assert_eq!(closing.ending, Ending::Completed);
//! assert_eq!(closing.payload.as_deref(), Some(&br#""ch_1""#[..]));
//! stack.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Ended;
use crate::config::Settings;
use crate::dev;
use crate::wire::{Input, Request, RequestActivity, TaskToken};

pub use crate::dev::{Broker, engine, settings};
use engine::{ActivityPlan, Closing, Engine, Plan};

const DOMAIN: &str = "testkit";
const TASK_LIST: &str = "testkit";

/// How often the engine is looked at by those who wait.
const LOOK: Duration = Duration::from_millis(5);

/// Why there is no stack, or no activity on it.
#[derive(Debug, thiserror::Error)]
pub enum TestkitError {
    /// The broker or the engine did not start.
    #[error("the stack did not start: {0}")]
    Start(String),
    /// The engine refused something.
    #[error("the embedded engine refused it: {0:?}")]
    Engine(engine::Refusal),
    /// The engine had nothing to hand out.
    #[error("the embedded engine handed no activity out")]
    NothingTaken,
    /// The engine handed out a token that is none.
    #[error(transparent)]
    Token(#[from] crate::wire::TokenFault),
}

/// A broker, an engine and a bridge between them, with the topics of the default settings. Needs a tokio runtime.
pub struct Stack {
    stack: dev::Stack,
    activities: AtomicU64,
}

impl Stack {
    /// Starts it on free ports.
    ///
    /// # Errors
    ///
    /// When a thread or a port is not to be had.
    pub async fn start() -> Result<Self, TestkitError> {
        let stack =
            dev::Stack::start(false, Vec::new()).await.map_err(|error| TestkitError::Start(error.to_string()))?;
        Ok(Self { stack, activities: AtomicU64::new(0) })
    }

    /// The bridge's settings: `kafka.brokers`, `cadence.endpoint` and the names of the topics are what others need.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.stack.settings
    }

    /// The engine, for workflows of more than one activity, for faults, and for its books.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.stack.engine
    }

    /// Starts a workflow with one activity of this type, takes the activity as a worker would, and returns the request that
    /// the worker would publish. It is open until it is answered, and is tried once.
    ///
    /// # Errors
    ///
    /// When the engine refuses it; not with arguments that are JSON.
    pub fn activity(&self, activity_type: &str, input: &[serde_json::Value]) -> Result<Request, TestkitError> {
        let number = self.activities.fetch_add(1, Ordering::Relaxed);
        // A list for each, so that nobody takes another's.
        let (workflow_id, task_list) = (format!("workflow-{number}"), format!("{TASK_LIST}-{number}"));
        let engine = self.engine();
        engine.register_domain(DOMAIN).map_err(TestkitError::Engine)?;
        let plan = Plan::parallel([ActivityPlan {
            activity_id: "1".to_owned(),
            activity_type: activity_type.to_owned(),
            input: input.to_vec(),
            start_to_close_seconds: 3600,
            heartbeat_seconds: 0,
            retry: None,
        }]);
        engine.start_workflow(DOMAIN, &workflow_id, &task_list, plan).map_err(TestkitError::Engine)?;
        let taken = engine.take(DOMAIN, &task_list, "testkit").map_err(TestkitError::Engine)?;
        let attempt = taken.ok_or(TestkitError::NothingTaken)?;
        let mut request = Request::new(TaskToken::check(attempt.token)?).with_activity(RequestActivity {
            domain: DOMAIN.to_owned(),
            workflow_id: attempt.workflow_id,
            run_id: attempt.run_id,
            activity_id: attempt.activity_id,
            attempt: i64::from(attempt.attempt),
            activity_type: attempt.activity_type,
            workflow_type: "plan".to_owned(),
        });
        request.input = attempt.input.map(Input::from_payload);
        request.reply_to = self.settings().topics.replies.first().cloned();
        Ok(request)
    }

    /// Waits until the activity of a request is closed, and tells how; `None` when it is still open after `within`.
    pub async fn closed(&self, request: &Request, within: Duration) -> Option<Closing> {
        let claims = request.task_token.claims();
        let deadline = Instant::now() + within;
        loop {
            let books = self.engine().books();
            let activity = books.activity(claims.workflow_id, claims.activity_id);
            if let Some(closing) = activity.and_then(|activity| activity.closing.clone()) {
                return Some(closing);
            }
            if Instant::now() >= deadline {
                return None;
            }
            sleep(LOOK).await;
        }
    }

    /// Stops the bridge as a signal would, then the rest, and tells how the bridge ended.
    pub async fn stop(self) -> Ended {
        self.stack.stop().await
    }
}
