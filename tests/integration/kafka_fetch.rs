//! A partition that is ours and cannot be read is told by name, with a remedy, until it is read again.

use std::sync::Arc;
use std::time::Duration;

use handback::bridge::seams::Command;
use handback::kafka;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::Instant;

use crate::kafka_support::*;

const KEY: &str = "kafka/a/fetch/activity-replies/0";

/// One partition with a record, which every fetch fails to bring.
fn unreadable(error: RDKafkaRespErr) -> (Cluster, Arc<Told>, kafka::ConsumerHandle) {
    let cluster = cluster(1);
    write(&cluster, [0], 10);
    cluster.request_errors(RDKafkaApiKey::Fetch, &[error; 1000]);
    let told = Arc::new(Told::default());
    let a = kafka::spawn(spec(member_config(&cluster, "a"), told.clone())).unwrap();
    (cluster, told, a)
}

#[tokio::test]
async fn a_topic_that_may_be_described_and_not_read_is_told() {
    let (cluster, told, mut a) = unreadable(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    until("it is told", || told.reason(KEY).is_some_and(|text| text.contains("grant READ on activity-replies"))).await;
    cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    read(&mut a, 1).await;
    until("it is over", || told.reason(KEY).is_none()).await;
    close(a).await;
}

#[tokio::test]
async fn a_partition_that_the_broker_cannot_read_is_told() {
    let (cluster, told, mut a) = unreadable(RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_MSG);
    until("it is told", || told.reason(KEY).is_some_and(|text| text.contains("activity-replies/0/0"))).await;
    cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    read(&mut a, 1).await;
    until("it is over", || told.reason(KEY).is_none()).await;
    close(a).await;
}

#[tokio::test]
async fn a_partition_with_nothing_left_to_read_is_well_again_without_a_record() {
    let cluster = cluster(1);
    write(&cluster, [0], 10);
    let told = Arc::new(Told::default());
    let mut a = kafka::spawn(spec(member_config(&cluster, "a"), told.clone())).unwrap();
    read(&mut a, 1).await;
    cluster.request_errors(RDKafkaApiKey::Fetch, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 1000]);
    until("it is told", || told.reason(KEY).is_some()).await;
    cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    until("it is over", || told.reason(KEY).is_none()).await;
    close(a).await;
}

#[tokio::test]
async fn what_nothing_is_delivered_of_is_behind_and_grows_old_all_the_same() {
    let (cluster, told, a) = unreadable(RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_MSG);
    until("it is behind", || told.lag_of(0) == Some(1)).await;
    until("it grows old", || told.still(0) > Duration::from_secs(1)).await;
    cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    close(a).await;
}

#[tokio::test]
async fn what_is_written_to_a_paused_partition_is_behind_within_seconds() {
    let cluster = cluster(1);
    write(&cluster, [0], 10);
    let told = Arc::new(Told::default());
    let mut a = kafka::spawn(spec(member_config(&cluster, "a"), told.clone())).unwrap();
    read(&mut a, 1).await;
    a.commands.send(Command::Store(vec![(partition(0), 1)])).unwrap();
    a.commands.send(Command::Pause(vec![partition(0)])).unwrap();
    until("it is not behind", || told.committed_of(0) == Some(1) && told.lag_of(0) == Some(0)).await;
    write(&cluster, [0; 20], 10);
    let written = Instant::now();
    until("it is behind", || told.lag_of(0) == Some(20)).await;
    assert!(written.elapsed() < Duration::from_secs(10), "{:?}", written.elapsed());
    until("it grows old", || told.still(0) > Duration::from_secs(1)).await;
    close(a).await;
}
