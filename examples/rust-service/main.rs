//! A service that answers Cadence activities over Kafka: `Greet` with a name becomes a greeting, anything else a failure.
//!
//! `cargo run --example rust-service -- localhost:9092 activity-requests`

use std::error::Error;

use handback::config::Kafka;
use handback::publish::Publisher;
use handback::wire::{Answer, Input, Limits, Request};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::{ClientConfig, Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let brokers = arguments.next().unwrap_or_else(|| "localhost:9092".to_owned());
    let requests = arguments.next().unwrap_or_else(|| "activity-requests".to_owned());
    serve(&brokers, &requests).await
}

/// Answers every request of a topic, one after the other.
pub(crate) async fn serve(brokers: &str, requests: &str) -> Result<(), Box<dyn Error>> {
    let publisher = Publisher::connect(&Kafka { brokers: brokers.to_owned(), ..Kafka::default() })?;
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "rust-service")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "false")
        .create()?;
    consumer.subscribe(&[requests])?;
    loop {
        let message = consumer.recv().await?;
        match Request::parse(message.payload().unwrap_or_default()) {
            Ok(request) => {
                let topic = request.reply_to.as_deref().unwrap_or("activity-replies").into();
                let reply = request.reply(work(&request)).into_record(topic, &Limits::default())?;
                publisher.publish(reply).await?;
            }
            // Nobody could be answered: there is no token.
            Err(fault) => eprintln!("{}/{}: {fault}", message.partition(), message.offset()),
        }
        // Only now: after a crash the request comes again, and a second answer is told `duplicate`.
        consumer.store_offset_from_message(&message)?;
    }
}

/// The work itself. With side effects it would look first whether it has met `request.request_key` before.
fn work(request: &Request) -> Answer {
    let name = match &request.input {
        Some(Input::Json(arguments)) => {
            arguments.first().and_then(|name| serde_json::from_str::<String>(name.get()).ok())
        }
        _ => None,
    };
    match name.map(|name| Answer::completed(&format!("Hello, {name}!"))) {
        Some(Ok(answer)) => answer,
        _ => Answer::failed("BadArguments", "Greet takes one text"),
    }
}
