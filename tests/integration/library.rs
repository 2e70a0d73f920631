//! The library as others use it: the example service on the test kit's stack.

use std::time::Duration;

use handback::exit::Exit;
use handback::publish::Publisher;
use handback::testkit::Stack;
use handback::testkit::engine::Ending;
use serde_json::json;

#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../../examples/rust-service/main.rs"]
mod rust_service;

const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_service_answers_what_activities_ask() {
    let stack = Stack::start().await.unwrap();
    let brokers = stack.settings().kafka.brokers.clone();
    let service = tokio::spawn(async move { rust_service::serve(&brokers, "activity-requests").await.unwrap() });
    let publisher = Publisher::connect(&stack.settings().kafka).unwrap();

    let greeted = stack.activity("Greet", &[json!("Ada")]).unwrap();
    let refused = stack.activity("Greet", &[json!(7)]).unwrap();
    for request in [&greeted, &refused] {
        publisher.publish(request.to_record("activity-requests".into())).await.unwrap();
    }

    let closing = stack.closed(&greeted, WITHIN).await.expect("the greeting closed its activity");
    assert_eq!((closing.ending, closing.payload.as_deref()), (Ending::Completed, Some(&br#""Hello, Ada!""#[..])));
    let closing = stack.closed(&refused, WITHIN).await.expect("the failure closed its activity");
    assert_eq!((closing.ending, closing.reason.as_deref()), (Ending::Failed, Some("BadArguments")));
    service.abort();
    assert_eq!(stack.stop().await.exit, Exit::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_that_nobody_answers_stays_open() {
    let stack = Stack::start().await.unwrap();
    let request = stack.activity("Greet", &[]).unwrap();
    assert_eq!(stack.closed(&request, Duration::from_millis(50)).await, None);
    let other = stack.activity("Greet", &[]).unwrap();
    assert_ne!(request.request_key, other.request_key, "each call is a workflow of its own");
    stack.stop().await;
}

#[tokio::test]
async fn a_request_that_cannot_be_written_is_told() {
    let stack = Stack::start().await.unwrap();
    let mut kafka = stack.settings().kafka.clone();
    kafka.properties.set("delivery.timeout.ms", "300");
    kafka.brokers = "127.0.0.1:1".to_owned();
    let publisher = Publisher::connect(&kafka).unwrap();
    let request = stack.activity("Greet", &[]).unwrap();
    let told = publisher.publish(request.to_record("activity-requests".into())).await.unwrap_err();
    assert!(
        matches!(&told, handback::publish::PublishError::Transient(text) if text.contains("activity-requests")),
        "{told}"
    );
    stack.stop().await;
}
