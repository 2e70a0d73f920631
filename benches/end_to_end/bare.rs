//! The bare loop: decode, call, offsets, and nothing else. No outcomes, no lanes, no breaker, no retry, no books: what
//! the features are measured against. Once with tonic's client as it comes, as one would write it in an afternoon, and
//! once with handback's client.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use handback::admin::Metrics;
use handback::bridge::offsets::Offsets;
use handback::bridge::seams::{Call, Command, Control, Engine, PartitionId, Received};
use handback::cadence::{Client, api};
use handback::kafka;
use handback::wire::{Limits, Reply, Target, decode};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use super::bridged::{consumer_spec, settings};
use super::direct::Direct;
use super::figures::{Began, Figures, Stage, micros};

const IDENTITY: &str = "handback/bench/bare";

/// Who makes the calls.
enum Caller {
    Plain(Vec<Channel>),
    Ours(Box<Client>),
    Direct(Box<Direct>),
}

pub(crate) fn play_plain(stage: &Stage) -> Figures {
    play(stage, |settings| {
        let endpoint = Endpoint::from_shared(settings.endpoint.clone()).unwrap().tcp_nodelay(true);
        Caller::Plain((0..settings.connections).map(|_| endpoint.connect_lazy()).collect())
    })
}

pub(crate) fn play_ours(stage: &Stage) -> Figures {
    play(stage, |settings| Caller::Ours(Box::new(Client::connect(settings, Arc::new(Metrics::new())).unwrap())))
}

pub(crate) fn play_direct(stage: &Stage) -> Figures {
    play(stage, |settings| Caller::Direct(Box::new(Direct::new(&settings.endpoint, settings.connections))))
}

fn play(stage: &Stage, connect: impl FnOnce(&handback::config::Cadence) -> Caller) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { consume(stage, connect(&settings(stage).cadence)).await })
}

async fn consume(stage: &Stage, caller: Caller) -> Figures {
    let settings = settings(stage);
    let mut consumer = kafka::spawn(consumer_spec(&settings)).unwrap();
    let limits = Limits::default();
    let mut offsets: HashMap<PartitionId, Offsets> = HashMap::new();
    let mut running = FuturesUnordered::new();
    let mut backlog: Vec<Received> = Vec::new();
    let mut calls = Vec::with_capacity(stage.records);
    let mut began = None;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    while calls.len() < stage.records {
        while running.len() < stage.window {
            let Some(received) = backlog.pop() else { break };
            began.get_or_insert_with(Began::now);
            offsets.entry(received.partition).or_default().deliver(received.record.origin.offset, None);
            running.push(call(&caller, &limits, received));
        }
        tokio::select! {
            biased;
            control = consumer.control.recv() => match control {
                Some(Control::Revoked(_, prefixes)) => prefixes.send(Vec::new()).unwrap(),
                Some(Control::Fatal(text)) => panic!("{text}"),
                _ => {}
            },
            Some((partition, offset, took)) = running.next() => {
                calls.push(took);
                offsets.entry(partition).or_default().settle(offset);
            }
            _ = tick.tick() => {
                let moved = |(id, o): (&PartitionId, &mut Offsets)| o.take_committable().map(|next| (*id, next));
                let _ = consumer.commands.send(Command::Store(offsets.iter_mut().filter_map(moved).collect()));
            }
            Some(batch) = consumer.records.recv(), if backlog.is_empty() => {
                backlog = batch;
                backlog.reverse();
            }
        }
    }
    Figures::since(&began.unwrap(), stage.records, calls, Vec::new())
}

async fn call(caller: &Caller, limits: &Limits, received: Received) -> (PartitionId, i64, u32) {
    let reply = decode(&received.record, limits).unwrap();
    let began = Instant::now();
    match caller {
        Caller::Plain(channels) => complete(channels, received.record.origin.offset, &reply).await,
        Caller::Ours(client) => {
            let call = Call { target: &reply.target, answer: &reply.answer, identity: IDENTITY };
            client.call(call).await.unwrap();
        }
        Caller::Direct(direct) => {
            direct.complete(Call { target: &reply.target, answer: &reply.answer, identity: IDENTITY }).await;
        }
    }
    (received.partition, received.record.origin.offset, micros(began.elapsed()))
}

/// The generated client, with what every frontend asks for: a deadline and three headers.
async fn complete(channels: &[Channel], turn: i64, reply: &Reply) {
    let Target::Token(token) = &reply.target else { panic!("the bench replies by token") };
    let mut request = tonic::Request::new(api::RespondActivityTaskCompletedRequest {
        task_token: token.bytes().clone(),
        result: reply.answer.engine_payload().map(|data| api::Payload { data }),
        identity: IDENTITY.to_owned(),
    });
    let metadata = request.metadata_mut();
    metadata.insert("rpc-caller", "handback".parse().unwrap());
    metadata.insert("rpc-service", "cadence-frontend".parse().unwrap());
    metadata.insert("rpc-encoding", "proto".parse().unwrap());
    request.set_timeout(Duration::from_secs(10));
    let channel = channels[turn as usize % channels.len()].clone();
    let mut client = api::worker_api_client::WorkerApiClient::new(channel);
    client.respond_activity_task_completed(request).await.unwrap();
}
