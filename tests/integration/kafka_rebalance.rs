//! What happens to records when members of the group come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handback::bridge::seams::{Command, Control};
use handback::kafka;
use rdkafka::ClientConfig;

use crate::kafka_support::*;

async fn three_members_come_and_go(config: impl Fn(&Cluster, &str) -> ClientConfig) {
    const PARTITIONS: i32 = 12;
    let cluster = cluster(PARTITIONS);
    let books = Arc::new(Books::default());
    let join = |name: &str| Member::start(config(&cluster, name), books.clone(), 20..50);
    let mut written = 0;
    let mut write_some = |cluster: &Cluster| {
        write(cluster, (0..600).map(|n| n % PARTITIONS), 200);
        written += 600;
        written
    };

    write_some(&cluster);
    let a = join("a");
    until("the first member has everything", || a.partitions() == 12).await;
    write_some(&cluster);
    let b = join("b");
    until("the second member has its share", || {
        write_some(&cluster);
        a.partitions() == 6 && b.partitions() == 6
    })
    .await;
    let c = join("c");
    until("the third member has its share", || {
        write_some(&cluster);
        [&a, &b, &c].iter().all(|m| m.partitions() == 4)
    })
    .await;
    write_some(&cluster);
    b.leave().await;
    write_some(&cluster);
    until("two share what was the second's", || a.partitions() == 6 && c.partitions() == 6).await;
    write_some(&cluster);
    a.leave().await;
    let written = write_some(&cluster);
    until("everything is finished", || books.finished() == written).await;
    c.leave().await;
    assert_eq!(books.lost(), 0, "no member was thrown out");
    assert_eq!(books.repeated(), 0, "records handled twice of {written}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_come_and_go_without_loss_or_repeat_by_the_new_protocol() {
    three_members_come_and_go(|cluster, name| {
        let mut config = member_config(cluster, name);
        config.set("group.protocol", "consumer");
        config
    })
    .await;
}

#[tokio::test]
async fn revoke_waits_for_work_in_hand_and_stores_it() {
    let cluster = cluster(2);
    write(&cluster, [0, 1].repeat(10), 100);
    let mut a = consumer(member_config(&cluster, "a"));
    assert_eq!(assigned(&mut a).await.len(), 2);
    read(&mut a, 20).await;

    let mut b = consumer(member_config(&cluster, "b"));
    let Control::Revoked(leaving, answer) = control(&mut a).await else { panic!("a revoke") };
    let (moved, ended) = leaving[0];
    assert_eq!((leaving.len(), ended), (1, 1), "only what moves is revoked");
    let early = tokio::time::timeout(Duration::from_millis(800), assigned(&mut b)).await;
    assert!(early.is_err(), "the partition moved before the work in hand was done");
    // A store that was on its way is not lost, and the answer goes further.
    a.commands.send(Command::Store(vec![(moved, 3)])).unwrap();
    answer.send(vec![(moved, 7)]).unwrap();

    assert_eq!(assigned(&mut b).await[0].0, moved);
    let first = &read(&mut b, 3).await[0];
    assert_eq!(first.record.origin.offset, 7, "the new owner starts where the old one was done");
    close(b).await;
    close(a).await;
}

#[tokio::test]
async fn revoke_without_an_answer_goes_on_after_its_bound_and_epochs_tell_old_work_apart() {
    let cluster = cluster(2);
    write(&cluster, [0, 1], 100);
    let mut spec = spec(member_config(&cluster, "a"), Arc::new(()));
    spec.revoke_timeout = Duration::from_millis(300);
    let mut a = kafka::spawn(spec).unwrap();
    assert!(assigned(&mut a).await.iter().all(|(_, epoch)| *epoch == 1));
    let before = read(&mut a, 2).await;

    let mut b = consumer(member_config(&cluster, "b"));
    let Control::Revoked(leaving, unanswered) = control(&mut a).await else { panic!("a revoke") };
    let moved = leaving[0].0;
    let since = Instant::now();
    assert_eq!(assigned(&mut b).await[0].0, moved);
    assert!(since.elapsed() >= Duration::from_millis(250), "the bound was kept");
    assert!(unanswered.send(vec![(moved, 1)]).is_err(), "a late answer goes nowhere");

    // A late store does nothing either, and the record comes again under another epoch.
    a.commands.send(Command::Store(vec![(moved, 1)])).unwrap();
    close(b).await;
    let (back, epoch) = assigned(&mut a).await[0];
    assert_eq!((back, epoch), (moved, 3));
    let again = &read(&mut a, 1).await[0];
    let old = before.iter().find(|r| r.partition == moved).unwrap();
    assert_eq!((old.record.origin.offset, old.epoch), (0, 1));
    assert_eq!((again.record.origin.offset, again.epoch), (0, 3));
    close(a).await;
}

#[tokio::test]
async fn close_is_bounded_when_the_worker_does_not_answer() {
    let cluster = cluster(1);
    let mut spec = spec(member_config(&cluster, "a"), Arc::new(()));
    spec.revoke_timeout = Duration::from_millis(200);
    let mut a = kafka::spawn(spec).unwrap();
    assigned(&mut a).await;
    a.commands.send(Command::Close).unwrap();
    let since = Instant::now();
    tokio::time::timeout(PATIENCE, &mut a.ended).await.expect("the consumer ends").unwrap();
    assert!(since.elapsed() < Duration::from_secs(3), "took {:?}", since.elapsed());
}

#[tokio::test]
async fn a_consumer_whose_worker_is_gone_leaves_the_group() {
    let cluster = cluster(1);
    let mut a = consumer(member_config(&cluster, "a"));
    assigned(&mut a).await;
    let ended = a.ended;
    drop((a.control, a.records, a.commands));
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the consumer ends").unwrap();
}
