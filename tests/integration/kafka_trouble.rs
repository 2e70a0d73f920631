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

const GROUP: &str = "kafka/a/group";

#[tokio::test]
async fn nobody_is_ready_before_the_group_has_taken_it_in() {
    let cluster = cluster(1);
    let told = Arc::new(Told::default());
    let mut a = kafka::spawn(spec(member_config(&cluster, "a"), told.clone())).unwrap();
    assert!(told.reason(GROUP).is_some_and(|text| text.contains("handback-test has not taken this process in yet")));
    assigned(&mut a).await;
    until("it is in", || told.reason(GROUP).is_none()).await;
    // One partition for two members.
    let other = Arc::new(Told::default());
    let b = kafka::spawn(spec(member_config(&cluster, "b"), other.clone())).unwrap();
    assert!(other.reason("kafka/b/group").is_some());
    until("a member without partitions is in too", || other.reason("kafka/b/group").is_none()).await;
    close(b).await;
    close(a).await;
}

#[tokio::test]
async fn a_group_that_refuses_is_told_with_its_reason_and_what_to_do() {
    let cluster = cluster(1);
    for (error, words) in [
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL, "kafka.group_id"),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT, "group.min.session.timeout.ms"),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED, "group.max.size"),
    ] {
        cluster.request_errors(RDKafkaApiKey::JoinGroup, &[error; 1000]);
        let told = Arc::new(Told::default());
        let mut a = kafka::spawn(spec(member_config(&cluster, "a"), told.clone())).unwrap();
        until("it is told", || told.reason(GROUP).is_some_and(|text| text.contains(words))).await;
        cluster.clear_request_errors(RDKafkaApiKey::JoinGroup);
        assigned(&mut a).await;
        until("it is over", || told.reason(GROUP).is_none()).await;
        close(a).await;
    }
}
