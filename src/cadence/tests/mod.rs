//! The client against a peer that does everything wrong that can be done on a connection.

mod cuts;
mod faults;
mod lines;
mod peer;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::Client;
use crate::admin::Metrics;
use crate::bridge::seams::{Accepted, Call, CallError, Engine};
use crate::config::Cadence;
use crate::wire::{Answer, Target, TaskToken, TokenClaims};

/// How much later than its deadline a call may be seen to end: many play at once on a busy machine.
const SLACK: Duration = Duration::from_millis(1500);

/// A call that was refused may be so because the next connection is not made yet: looked at again after this long.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs something with a peer beside it.
async fn play<T>(scene: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(scene).await
}

fn client(settings: &Cadence) -> Client {
    Client::connect(settings, Arc::new(Metrics::new())).unwrap()
}

/// Completes an activity, and holds that this ends by its deadline.
async fn complete(client: &Client) -> Result<Accepted, CallError> {
    complete_with(client, 1).await
}

/// The same with a result of so many bytes.
async fn complete_with(client: &Client, bytes: usize) -> Result<Accepted, CallError> {
    let began = Instant::now();
    let target = Target::Token(token());
    let answer = Answer::Complete { result: Some(Bytes::from(vec![b'1'; bytes])) };
    let answer = client.call(Call { target: &target, answer: &answer, identity: "test" }).await;
    let took = began.elapsed();
    assert!(took < client.metadata().timeout() + SLACK, "a call took {took:?}");
    answer
}

fn token() -> TaskToken {
    TaskToken::build(TokenClaims {
        domain_id: "0197b3b0-0000-7000-8000-000000000001".into(),
        workflow_id: "order-1".into(),
        run_id: "0197b3b0-0000-7000-8000-000000000002".into(),
        schedule_id: 5,
        attempt: 0,
        activity_id: "1".into(),
        activity_type: String::new(),
        workflow_type: String::new(),
    })
    .unwrap()
}

/// How many calls failed before one was answered.
async fn until_answered(client: &Client) -> usize {
    let mut failed = 0;
    while complete(client).await.is_err() {
        failed += 1;
        assert!(failed < 20, "the client does not recover");
        tokio::time::sleep(PAUSE).await;
    }
    failed
}
