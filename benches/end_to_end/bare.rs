//! The bare loop: the same consumer thread, decoder, client and offsets, and nothing else. No outcomes, no lanes, no
//! breaker, no retry, no books: what the features are measured against.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use handback::admin::Metrics;
use handback::bridge::offsets::Offsets;
use handback::bridge::seams::{Call, Command, Control, Engine, PartitionId, Received};
use handback::cadence::Client;
use handback::kafka;
use handback::wire::{Limits, decode};
use tokio::time::Instant;

use super::bridged::{consumer_spec, settings};
use super::figures::{Began, Figures, Stage, micros};

pub(crate) fn play(stage: &Stage) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(consume(stage))
}

async fn consume(stage: &Stage) -> Figures {
    let settings = settings(stage);
    let client = Client::connect(&settings.cadence, Arc::new(Metrics::new())).unwrap();
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
            running.push(call(&client, &limits, received));
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

async fn call(client: &Client, limits: &Limits, received: Received) -> (PartitionId, i64, u32) {
    let reply = decode(&received.record, limits).unwrap();
    let began = Instant::now();
    let call = Call { target: &reply.target, answer: &reply.answer, identity: "handback/bench/bare" };
    client.call(call).await.unwrap();
    (received.partition, received.record.origin.offset, micros(began.elapsed()))
}
