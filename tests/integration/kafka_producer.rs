//! Delivered means delivered, and each way to fail says what it is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use handback::bridge::seams::{Log, ProduceFault};
use handback::kafka::{KafkaLog, Producer, ProducerSpec};
use handback::wire::{Headers, OutRecord};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::kafka_support::*;

fn producer(cluster: &Cluster, more: &[(&str, &str)], told: Arc<Told>) -> Producer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    for (name, value) in more {
        config.set(*name, *value);
    }
    Producer::new(ProducerSpec { name: "producer".to_owned(), config, observer: told }).unwrap()
}

fn record(value: &'static [u8]) -> OutRecord {
    let mut headers = Headers::new();
    headers.push("handback-kind", bytes::Bytes::from_static(b"test"));
    headers.push("empty", None);
    OutRecord {
        topic: TOPIC.into(),
        partition: Some(1),
        key: Some(bytes::Bytes::from_static(b"key")),
        value: Some(bytes::Bytes::from_static(value)),
        headers,
    }
}

#[tokio::test]
async fn an_acknowledged_record_is_in_the_log_as_it_was_sent() {
    let cluster = cluster(2);
    let producer = producer(&cluster, &[], Arc::default());
    let log = KafkaLog::new(producer.clone(), std::sync::mpsc::channel().0, None);
    log.produce(record(b"value")).await.unwrap();
    assert!(producer.cluster_id(PATIENCE).is_some());

    let mut reader = consumer(member_config(&cluster, "reader"));
    let got = read(&mut reader, 1).await.remove(0).record;
    assert_eq!(got.origin.partition, 1);
    let expected = record(b"value");
    assert_eq!((got.key, got.value, got.headers), (expected.key, expected.value, expected.headers));
    close(reader).await;
}

#[tokio::test]
async fn passing_trouble_inside_the_cluster_is_not_the_callers() {
    let cluster = cluster(2);
    let producer = producer(&cluster, &[("retry.backoff.ms", "10")], Arc::default());
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    );
    producer.send(record(b"value")).await.unwrap();
}

#[tokio::test]
async fn what_somebody_must_change_is_permanent_and_says_what() {
    let cluster = cluster(2);
    let table = [
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "grant WRITE and DESCRIBE on activity-replies"),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, "raise max.message.bytes of activity-replies"),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION, "a policy of the brokers forbids it"),
    ];
    for (error, advice) in table {
        let producer = producer(&cluster, &[], Arc::default());
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        let of_size = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
        match producer.send(record(b"value")).await {
            Err(ProduceFault::TooLarge(text)) if of_size => assert!(text.contains(advice), "{text}"),
            Err(ProduceFault::Permanent(text)) if !of_size => assert!(text.contains(advice), "{text}"),
            other => panic!("{error:?}: {other:?}"),
        }
    }
    let producer = producer(&cluster, &[("message.max.bytes", "1000")], Arc::default());
    let mut large = record(b"");
    large.value = Some(vec![0; 2_000].into());
    assert!(matches!(producer.send(large).await, Err(ProduceFault::TooLarge(_))), "refused by the client itself");
    let mut elsewhere = record(b"value");
    elsewhere.partition = Some(9);
    match producer.send(elsewhere).await {
        Err(ProduceFault::Permanent(text)) => assert!(text.contains("at least 10 partitions"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_record_is_too_large_because_of_others_in_its_batch() {
    let cluster = cluster(2);
    let producer = producer(&cluster, &[("linger.ms", "200")], Arc::default());
    taken_at_last(&producer).await;
    for partition in [Some(1), None] {
        let record = OutRecord { partition, ..record(b"value") };
        cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
        let batch = join_all((0..3).map(|_| producer.send(record.clone()))).await;
        let told = batch.iter().filter(|sent| sent.is_err()).count();
        assert!(told > 0, "the broker refused it: {batch:?}");
        for sent in batch.into_iter().filter_map(Result::err) {
            assert!(matches!(&sent, ProduceFault::Transient(text) if text.contains("one by one")), "{sent:?}");
        }
        // Tried again, they go alone: now it is known which of them is too large.
        cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
        let alone = join_all((0..3).map(|_| producer.send(record.clone()))).await;
        assert!(matches!(alone[0], Err(ProduceFault::TooLarge(_))), "{alone:?}");
        assert!(alone[1..].iter().all(Result::is_ok), "{alone:?}");
    }
}

/// Writes 8 MB that compress well, of which the mock keeps at most 5; says whether all of it is there.
async fn all_of_8_mb_is_kept(properties: &[(&str, &str)], compressed: &[&str]) -> bool {
    let cluster = cluster(2);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("message.max.bytes", "2000000");
    properties.iter().for_each(|(name, value)| _ = config.set(*name, *value));
    let spec = ProducerSpec { name: "producer".to_owned(), config, observer: Arc::<Told>::default() };
    let producer = Producer::compressing(spec, compressed).unwrap();
    let large = OutRecord { value: Some(vec![b'x'; 1_000_000].into()), ..record(b"") };
    for _ in 0..8 {
        producer.send(large.clone()).await.unwrap();
    }
    let reader: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    let (low, high) = reader.fetch_watermarks(TOPIC, 1, PATIENCE).unwrap();
    assert_eq!(high, 8);
    if low == 0 {
        let mut reader = consumer(member_config(&cluster, "reader"));
        let got = read(&mut reader, 8).await;
        assert!(got.iter().all(|got| got.record.value == large.value), "and comes back as it was");
        close(reader).await;
    }
    low == 0
}

#[tokio::test]
async fn what_is_moved_is_compressed_and_what_others_read_is_not() {
    assert!(all_of_8_mb_is_kept(&[], &[TOPIC]).await);
    assert!(!all_of_8_mb_is_kept(&[], &["another"]).await);
    assert!(!all_of_8_mb_is_kept(&[("compression.type", "none")], &[TOPIC]).await, "the user's word wins");
    assert!(all_of_8_mb_is_kept(&[("compression.type", "lz4")], &[]).await);
}

#[tokio::test]
async fn a_record_that_is_larger_than_the_queue_is_told_and_does_not_wait_for_ever() {
    let cluster = cluster(2);
    let more = [("queue.buffering.max.kbytes", "100"), ("message.max.bytes", "10000000")];
    let producer = producer(&cluster, &more, Arc::default());
    let large = OutRecord { value: Some(vec![0; 200_000].into()), ..record(b"") };
    let sent = tokio::time::timeout(PATIENCE, producer.send(large)).await.expect("it never has room");
    let Err(ProduceFault::TooLarge(text)) = sent else { panic!("{sent:?}") };
    assert!(text.contains("queue.buffering.max.kbytes"), "{text}");
    producer.send(record(b"value")).await.unwrap();
}

/// Writes until one is taken: the first ones may be given up while the client connects.
async fn taken_at_last(producer: &Producer) {
    let tries = async { while producer.send(record(b"value")).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), tries).await.expect("records are taken");
}

#[tokio::test]
async fn brokers_that_are_away_are_transient_and_told() {
    let cluster = cluster(2);
    let told = Arc::new(Told::default());
    let producer =
        producer(&cluster, &[("message.timeout.ms", "1000"), ("reconnect.backoff.max.ms", "200")], told.clone());
    taken_at_last(&producer).await;
    cluster.broker_down(-1).unwrap();
    match producer.send(record(b"value")).await {
        Err(ProduceFault::Transient(text)) => assert!(text.contains("activity-replies/1"), "{text}"),
        other => panic!("{other:?}"),
    }
    let key = "kafka/producer/brokers";
    until("it is told", || told.reason(key).is_some()).await;
    cluster.broker_up(-1).unwrap();
    taken_at_last(&producer).await;
    until("it is over", || told.reason(key).is_none()).await;
}

#[tokio::test]
async fn a_producer_that_gets_no_id_is_dead_and_says_which_permission_it_needs() {
    let cluster = cluster(2);
    cluster.request_errors(
        RDKafkaApiKey::InitProducerId,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 5],
    );
    let producer = producer(&cluster, &[], Arc::default());
    for _ in 0..2 {
        match producer.send(record(b"value")).await {
            Err(ProduceFault::Fatal(text)) => assert!(text.contains("IDEMPOTENT_WRITE"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_full_queue_makes_senders_wait() {
    let cluster = cluster(2);
    let producer = producer(&cluster, &[("queue.buffering.max.messages", "3")], Arc::default());
    let record = record(b"value");
    let all = join_all((0..100).map(|_| producer.send(record.clone())));
    let sent = tokio::time::timeout(PATIENCE, all).await.expect("all are sent");
    assert!(sent.iter().all(Result::is_ok));
}

#[tokio::test]
async fn flush_waits_for_what_nobody_waits_for() {
    let cluster = cluster(2);
    let producer = producer(&cluster, &[("linger.ms", "200")], Arc::default());
    let record = record(b"value");
    // Polled once, then dropped: the record is on its way.
    assert!(tokio::time::timeout(Duration::ZERO, producer.send(record)).await.is_err());
    assert!(producer.flush(PATIENCE));
    let mut reader = consumer(member_config(&cluster, "reader"));
    read(&mut reader, 1).await;
    close(reader).await;
}

/// More than a turn of one partition, while the broker takes its time for each.
#[tokio::test]
async fn what_waits_for_its_turn_is_written_in_order_and_flushed_too() {
    const RECORDS: usize = 500;
    let cluster = cluster(2);
    cluster.broker_round_trip_time(1, Duration::from_millis(50)).unwrap();
    let producer = producer(&cluster, &[("linger.ms", "1"), ("batch.size", "4096")], Arc::default());
    for number in 0..RECORDS {
        let value = Some(bytes::Bytes::from(number.to_string()));
        // Given to the client or made to wait at the call; nobody waits for it any more.
        drop(producer.send(OutRecord { value, ..record(b"") }));
    }
    let flushing = producer.clone();
    assert!(tokio::task::spawn_blocking(move || flushing.flush(PATIENCE)).await.unwrap());

    let mut reader = consumer(member_config(&cluster, "reader"));
    let got = read(&mut reader, RECORDS).await;
    let numbers = got.iter().map(|got| String::from_utf8_lossy(got.record.value.as_deref().unwrap()).into_owned());
    assert!(numbers.eq((0..RECORDS).map(|number| number.to_string())), "all of them, once, in order");
    close(reader).await;
}
