//! What the operator hears when Kafka is in trouble, and that it ends when the trouble does.

use std::sync::Arc;

use handback::bridge::seams::Control;
use handback::kafka;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::kafka_support::*;

#[tokio::test]
async fn a_cluster_that_is_gone_is_told_and_told_to_be_back() {
    let cluster = cluster(1);
    let told = Arc::new(Told::default());
    let mut config = member_config(&cluster, "a");
    config.set("reconnect.backoff.max.ms", "200");
    let mut a = kafka::spawn(spec(config, told.clone())).unwrap();
    assigned(&mut a).await;
    cluster.broker_down(-1).unwrap();
    let key = "kafka/a/brokers";
    until("it is told", || told.reason(key).is_some_and(|r| r.contains("kafka.brokers"))).await;
    cluster.broker_up(-1).unwrap();
    until("it is over", || told.reason(key).is_none()).await;
    close(a).await;
}

#[tokio::test]
async fn a_forbidden_group_is_told_with_the_permission_it_needs() {
    let cluster = cluster(1);
    cluster.request_errors(
        RDKafkaApiKey::FindCoordinator,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 3],
    );
    let told = Arc::new(Told::default());
    let mut a = kafka::spawn(spec(member_config(&cluster, "a"), told.clone())).unwrap();
    let key = "kafka/a/group";
    until("it is told", || told.reason(key).is_some_and(|r| r.contains("grant READ on the group"))).await;
    assigned(&mut a).await;
    until("it is over", || told.reason(key).is_none()).await;
    close(a).await;
}

#[tokio::test]
async fn a_missing_topic_is_told_by_name_until_it_is_there() {
    let cluster = cluster(1);
    cluster.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let told = Arc::new(Told::default());
    let mut config = member_config(&cluster, "a");
    config.set("topic.metadata.refresh.interval.ms", "500");
    let mut a = kafka::spawn(spec(config, told.clone())).unwrap();
    let key = "kafka/a/topic/activity-replies";
    until("it is told", || told.reason(key).is_some_and(|r| r.contains("topics create"))).await;
    cluster.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    assigned(&mut a).await;
    until("it is over", || told.reason(key).is_none()).await;
    close(a).await;
}

#[tokio::test]
async fn a_fenced_member_ends_with_a_fatal_message() {
    let cluster = cluster(1);
    let mut config = member_config(&cluster, "a");
    config.set("group.instance.id", "one");
    let mut a = consumer(config);
    assigned(&mut a).await;
    cluster.request_errors(RDKafkaApiKey::Heartbeat, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID]);
    loop {
        match control(&mut a).await {
            Control::Fatal(text) => {
                assert!(text.contains("fenced"), "{text}");
                break;
            }
            Control::Assigned(_) | Control::Revoked(..) | Control::Lost(_) => {}
        }
    }
    tokio::time::timeout(PATIENCE, &mut a.ended).await.expect("the consumer ends").unwrap();
}
