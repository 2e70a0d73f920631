//! The calls once more, through handback's own client: what it makes of an answer agrees with what is on the wire.

use std::sync::Arc;

use handback::admin::Metrics;
use handback::bridge::seams::{Accepted, Call, CallError, Engine};
use handback::cadence::Client;
use handback::config::Cadence;
use handback::wire::{ActivityId, Answer, Failure, FailureStyle, Target, TaskToken};

use super::calls::{Form, Say, Verb};
use super::stage::Attempt;

/// Makes a call to the server at `host:port`; `None` where handback refuses the token itself.
pub(crate) async fn say(address: &str, say: &Say, to: &Attempt) -> Option<Result<Accepted, CallError>> {
    let (target, answer, identity) = (target(say.form, to)?, answer(say), say.identity.clone());
    let settings = Cadence { endpoint: format!("http://{address}"), ..Cadence::default() };
    // A client belongs to one thread, and scenes move between threads.
    let called = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client = Client::connect(&settings, Arc::new(Metrics::new())).expect("the settings are good");
            client.call(Call { target: &target, answer: &answer, identity: &identity }).await
        })
    });
    Some(called.await.expect("a call does not panic"))
}

fn target(form: Form, to: &Attempt) -> Option<Target> {
    Some(match form {
        Form::Token => Target::Token(TaskToken::check(to.token.clone()).ok()?),
        Form::ById => Target::ById(ActivityId {
            domain: to.domain.clone(),
            workflow_id: to.workflow_id.clone(),
            run_id: to.run_id.clone(),
            activity_id: to.activity_id.clone(),
            attempt: None,
        }),
    })
}

fn answer(say: &Say) -> Answer {
    let (payload, reason) = (say.payload.clone(), say.reason.clone().unwrap_or_default());
    match say.verb {
        Verb::Complete => Answer::Complete { result: payload },
        Verb::Fail => Answer::Fail(Failure { reason, message: None, details: payload, style: FailureStyle::default() }),
        Verb::Cancel => Answer::Cancel { details: payload },
        Verb::Heartbeat => Answer::Heartbeat { details: payload },
    }
}
