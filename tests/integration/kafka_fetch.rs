//! A partition that is ours and cannot be read is told by name, with a remedy, until it is read again.

use std::sync::Arc;

use handback::kafka;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

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
