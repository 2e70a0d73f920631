//! Names of headers are bytes, whoever wrote them: nothing that can be written ends a consumer or changes in silence.

use std::sync::Arc;

use bytes::Bytes;
use handback::kafka::{Producer, ProducerSpec};
use handback::wire::{Headers, OutRecord, Record};
use rdkafka::ClientConfig;

use crate::kafka_support::*;

fn producer(cluster: &Cluster) -> Producer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("linger.ms", "0");
    config.set("message.max.bytes", "4000000");
    Producer::new(ProducerSpec { name: "producer".to_owned(), config, observer: Arc::<Told>::default() }).unwrap()
}

/// Name and value; `None` is null.
type Named = (&'static [u8], Option<&'static [u8]>);

fn headers(all: &[Named]) -> Headers {
    all.iter().map(|(name, value)| (name.to_vec(), value.map(Bytes::from_static))).collect()
}

/// What comes back of records with these headers.
async fn there_and_back(all: impl IntoIterator<Item = Headers>) -> Vec<Record> {
    let cluster = cluster(1);
    let producer = producer(&cluster);
    let mut count = 0;
    for headers in all {
        let value = Some(Bytes::from_static(b"x"));
        let record = OutRecord { topic: TOPIC.into(), partition: Some(0), key: None, value, headers };
        producer.send(record).await.unwrap();
        count += 1;
    }
    let mut reader = consumer(member_config(&cluster, "reader"));
    let got = read(&mut reader, count).await;
    close(reader).await;
    got.into_iter().map(|received| received.record).collect()
}

#[tokio::test]
async fn a_header_name_that_is_not_utf8_kills_no_consumer_and_arrives_byte_for_byte() {
    let sent = [
        headers(&[(b"tr\xe4ce", Some(b"1"))]),
        headers(&[(b"\xff\xfe", None), (b"", Some(b"")), (b"a", Some(b"\0\xff")), (b"a", None), (b"a", None)]),
        Headers::new(),
    ];
    let got = there_and_back(sent.clone()).await;
    assert!(got.iter().map(|record| &record.headers).eq(sent.iter()), "{got:?}");
}

#[tokio::test]
async fn a_name_with_a_nul_is_never_taken_for_the_name_before_it() {
    let sent = headers(&[
        (b"trace\0more", Some(b"1")),
        (b"trace", Some(b"2")),
        (b"\0", Some(b"")),
        (b"null\0x", None),
        (b"other", None),
        // One of the two is whole, and librdkafka does not tell which.
        (b"twice", None),
        (b"twice\0x", None),
    ]);
    let got = there_and_back([sent]).await.remove(0).headers;
    let names: Vec<_> = got.iter().map(|(name, _)| name.as_bytes()).collect();
    let expected: [&[u8]; 7] = [b"trace\0", b"trace", b"\0", b"null\0", b"other", b"twice", b"twice\0"];
    assert_eq!(names, expected, "up to the NUL, and that there was one");
    assert_eq!((got.last("trace").map(|value| &value[..]), got.count("trace")), (Some(&b"2"[..]), 1));
    // Moved again it stays what it is.
    assert_eq!(there_and_back([got.clone()]).await.remove(0).headers, got);
}

#[tokio::test]
async fn headers_that_cannot_be_read_are_not_taken_for_none() {
    let many = |count: usize| (0..count).map(|_| ("x", Some(Bytes::from_static(b"1")))).collect::<Headers>();
    // So many without a value that looking each up takes too long to tell whether its name is whole.
    let nulls: Headers = (0..5_000).map(|number: usize| (format!("{number}"), None)).collect();
    let got = there_and_back([many(100_001), many(100_000), nulls, Headers::new()]).await;
    let unreadable: Vec<_> = got.iter().map(|record| record.headers.are_unreadable()).collect();
    assert_eq!(unreadable, [true, false, true, false]);
    assert_eq!((got[1].headers.len(), got[3].headers.len()), (100_000, 0));
}
