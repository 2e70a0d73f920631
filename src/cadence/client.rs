//! The engine behind gRPC: the respond and heartbeat calls by token and by id, and the probes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::api;
use super::api::domain_api_client::DomainApiClient;
use super::api::worker_api_client::WorkerApiClient;
use super::domains::Answers;
use super::line::{Line, Lines};
use super::requests;
use super::status::{call_error, code_name};
use super::transport::{ConnectError, Metadata, lines};
use crate::admin::{EngineMethod, Metrics};
use crate::bridge::seams::{Accepted, Call, CallError, DomainRef, Engine, Probed, Verdict, Wiring};
use crate::bridge::sight::{Reach, Sight};
use crate::config::Cadence;
use crate::wire::{ActivityId, Answer, Target};

/// How long the name of an id is true: an id is given once, and a name never changed.
const NAMED_FOR: Duration = Duration::MAX;

/// How long the id of a name is true. A domain may be deprecated, deleted and registered anew with another id.
const IDENTIFIED_FOR: Duration = Duration::from_secs(60);

/// Longest wait for a probe: the healthy answer takes milliseconds, and a wait of the call's own deadline would keep a
/// recovered engine idle.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// What a healthy frontend answers to a completion with the token `{}`, before it looks at any workflow.
const SOUND: &str = "DomainID is empty.";

/// A client of one Cadence frontend, for one worker: it belongs to the runtime it was made in.
#[derive(Debug)]
pub struct Client {
    lines: Lines,
    metadata: Metadata,
    metrics: Arc<Metrics>,
    /// Names of domains, by id.
    names: Answers,
    /// Ids of domains, by name.
    ids: Answers,
}

impl Client {
    /// Makes a client; connections are opened at the first call. Needs a tokio runtime.
    ///
    /// # Errors
    /// When a setting cannot be used: address, certificate files, header values.
    pub fn connect(settings: &Cadence, metrics: Arc<Metrics>) -> Result<Self, ConnectError> {
        Ok(Self {
            lines: lines(settings)?,
            metadata: Metadata::new(settings)?,
            metrics,
            names: Answers::new(NAMED_FOR),
            ids: Answers::new(IDENTIFIED_FOR),
        })
    }

    /// The id of the domain with this name, or `None` when the engine knows no such domain. Not cached.
    ///
    /// # Errors
    /// When the engine did not say.
    pub async fn domain_id(&self, name: &str) -> Result<Option<Arc<str>>, CallError> {
        let by = api::describe_domain_request::DescribeBy::Name(name.to_owned());
        Ok(self.describe_domain(by).await?.map(|domain| domain.id.into()))
    }

    /// The name of the domain with this id; remembered.
    pub(super) async fn named(&self, id: &str) -> Result<Option<Arc<str>>, CallError> {
        let by = || api::describe_domain_request::DescribeBy::Id(id.to_owned());
        let ask = async || Ok(self.describe_domain(by()).await?.map(|domain| domain.name.into()));
        self.names.get(id, ask).await
    }

    /// The id of the domain with this name; remembered.
    pub(super) async fn identified(&self, name: &str) -> Result<Option<Arc<str>>, CallError> {
        self.ids.get(name, async || self.domain_id(name).await).await
    }

    async fn describe_domain(
        &self,
        by: api::describe_domain_request::DescribeBy,
    ) -> Result<Option<api::Domain>, CallError> {
        let request = self.metadata.request(api::DescribeDomainRequest { describe_by: Some(by) });
        let (channel, line) = self.channel();
        let mut domains = DomainApiClient::new(channel);
        match self.counted(EngineMethod::DescribeDomain, line, domains.describe_domain(request)).await {
            Ok(response) => Ok(response.domain),
            Err(error) if error.status == code_name(Code::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(super) fn channel(&self) -> (Channel, Line) {
        self.lines.next()
    }

    pub(super) fn worker(&self) -> (WorkerApiClient<Channel>, Line) {
        let (channel, line) = self.channel();
        (WorkerApiClient::new(channel), line)
    }

    /// Awaits one call with the usual deadline and counts it.
    pub(super) fn counted<T>(
        &self,
        method: EngineMethod,
        line: Line,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> impl Future<Output = Result<T, CallError>> {
        self.counted_within(self.metadata.timeout(), method, line, call)
    }

    /// The same with a deadline of its own. Boxed: tonic's futures are kilobytes, and every one around them is moved whole.
    pub(super) fn counted_within<T>(
        &self,
        within: Duration,
        method: EngineMethod,
        line: Line,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> impl Future<Output = Result<T, CallError>> {
        let call = Box::pin(self.lines.ask(line, within, call));
        async move {
            let began = Instant::now();
            let answer = call.await;
            let code = answer.as_ref().map_or_else(|status| status.code(), |_| Code::Ok);
            self.metrics.engine_call(method, code_name(code), began.elapsed());
            answer.map(Response::into_inner).map_err(|status| call_error(&status))
        }
    }

    async fn by_token(&self, token: Bytes, answer: &Answer, identity: &str) -> Result<Accepted, CallError> {
        let (mut worker, line) = self.worker();
        match answer {
            Answer::Complete { .. } => {
                let request = self.metadata.request(requests::completed(token, answer, identity));
                self.counted(EngineMethod::RespondCompleted, line, worker.respond_activity_task_completed(request))
                    .await?;
            }
            Answer::Fail(failure) => {
                let request = self.metadata.request(requests::failed(token, failure, identity));
                self.counted(EngineMethod::RespondFailed, line, worker.respond_activity_task_failed(request)).await?;
            }
            Answer::Cancel { .. } => {
                let request = self.metadata.request(requests::canceled(token, answer, identity));
                self.counted(EngineMethod::RespondCanceled, line, worker.respond_activity_task_canceled(request))
                    .await?;
            }
            Answer::Heartbeat { .. } => {
                let request = self.metadata.request(requests::heartbeat(token, answer, identity));
                let call = worker.record_activity_task_heartbeat(request);
                let response = self.counted(EngineMethod::RecordHeartbeat, line, call).await?;
                return Ok(Accepted { cancel_requested: response.cancel_requested });
            }
        }
        Ok(Accepted::default())
    }

    async fn by_id(&self, id: &ActivityId, answer: &Answer, identity: &str) -> Result<Accepted, CallError> {
        let (mut worker, line) = self.worker();
        match answer {
            Answer::Complete { .. } => {
                let request = self.metadata.request(requests::completed_by_id(id, answer, identity));
                let call = worker.respond_activity_task_completed_by_id(request);
                self.counted(EngineMethod::RespondCompletedById, line, call).await?;
            }
            Answer::Fail(failure) => {
                let request = self.metadata.request(requests::failed_by_id(id, failure, identity));
                self.counted(EngineMethod::RespondFailedById, line, worker.respond_activity_task_failed_by_id(request))
                    .await?;
            }
            Answer::Cancel { .. } => {
                let request = self.metadata.request(requests::canceled_by_id(id, answer, identity));
                let call = worker.respond_activity_task_canceled_by_id(request);
                self.counted(EngineMethod::RespondCanceledById, line, call).await?;
            }
            Answer::Heartbeat { .. } => {
                let request = self.metadata.request(requests::heartbeat_by_id(id, answer, identity));
                let call = worker.record_activity_task_heartbeat_by_id(request);
                let response = self.counted(EngineMethod::RecordHeartbeatById, line, call).await?;
                return Ok(Accepted { cancel_requested: response.cancel_requested });
            }
        }
        Ok(Accepted::default())
    }
}

impl Engine for Client {
    async fn call(&self, call: Call<'_>) -> Result<Accepted, CallError> {
        match call.target {
            Target::Token(token) => self.by_token(token.bytes().clone(), call.answer, call.identity).await,
            Target::ById(id) => self.by_id(id, call.answer, call.identity).await,
        }
    }

    async fn probe_wiring(&self) -> Wiring {
        let request = api::RespondActivityTaskCompletedRequest {
            task_token: Bytes::from_static(b"{}"),
            result: None,
            identity: "handback/probe".to_owned(),
        };
        let within = PROBE_TIMEOUT.min(self.metadata.timeout());
        let request = self.metadata.request_within(request, within);
        let (mut worker, line) = self.worker();
        match self.lines.ask(line, within, worker.respond_activity_task_completed(request)).await {
            Err(status) if status.code() == Code::InvalidArgument && status.message() == SOUND => Wiring::Sound,
            Err(status) if is_unreachable(status.code()) => Wiring::Unreachable(text(&status)),
            Err(status) => Wiring::Broken(text(&status)),
            Ok(_) => Wiring::Broken("it accepted a completion without any activity".to_owned()),
        }
    }

    async fn probe_history(&self, domain: &DomainRef, workflow_id: &str) -> Probed {
        let within = PROBE_TIMEOUT.min(self.metadata.timeout());
        let (mut worker, line) = self.worker();
        let answer = match domain {
            DomainRef::Id(id) => {
                let request = self.metadata.request_within(requests::probe(id, workflow_id), within);
                self.lines.ask(line, within, worker.record_activity_task_heartbeat(request)).await
            }
            DomainRef::Name(name) => {
                let request = self.metadata.request_within(requests::probe_by_id(name, workflow_id), within);
                let answer = self.lines.ask(line, within, worker.record_activity_task_heartbeat_by_id(request)).await;
                answer.map(|_| Response::new(api::RecordActivityTaskHeartbeatResponse::default()))
            }
        };
        let Err(status) = answer else { return Probed::Well };
        let CallError { verdict, status, message } = call_error(&status);
        let text = format!("{status} {message}");
        match verdict {
            Verdict::Transient { busy: false } => Probed::Unwell(text),
            Verdict::Transient { busy: true } => Probed::Busy(text),
            Verdict::UnknownDomain | Verdict::DomainNotActive => Probed::Elsewhere(text),
            // Not found, as it should be; and whatever is said of us is for the record that goes first to find out.
            Verdict::NotFound | Verdict::Refused(_) | Verdict::Wiring => Probed::Well,
        }
    }

    async fn domain_name(&self, id: &str) -> Result<Option<Arc<str>>, CallError> {
        self.named(id).await
    }

    async fn domain_id(&self, name: &str) -> Result<Option<Arc<str>>, CallError> {
        Client::domain_id(self, name).await
    }

    async fn look(&self, target: &Target, reach: Reach) -> Result<Sight, CallError> {
        self.look_into(target, reach).await
    }
}

fn is_unreachable(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Aborted
            | Code::DataLoss
    )
}

fn text(status: &Status) -> String {
    format!("{} {}", code_name(status.code()), status.message())
}
