//! What happens to records when members of the group come and go.

use std::sync::Arc;
use std::time::Duration;

use handback::bridge::seams::{Command, Control};
use handback::kafka;
use rdkafka::ClientConfig;
use tokio::time::Instant;

use crate::kafka_support::*;

/// How many partitions each member has, from the most.
fn shares(members: &[&Member]) -> Vec<usize> {
    let mut shares: Vec<_> = members.iter().map(|m| m.partitions()).collect();
    shares.sort_unstable_by(|a, b| b.cmp(a));
    shares
}

/// `alone`, `two`, `three`: how the partitions are shared out.
async fn three_members_come_and_go(
    config: impl Fn(&Cluster, &str) -> ClientConfig,
    alone: usize,
    two: [usize; 2],
    three: [usize; 3],
) -> Arc<Books> {
    let cluster = cluster(alone as i32);
    let books = Arc::new(Books::default());
    let join = |name: &str| Member::start(config(&cluster, name), books.clone(), 20..50);
    let writer = Writer::start(&cluster, alone as i32);

    let a = join("a");
    until("the first member has everything", || shares(&[&a]) == [alone]).await;
    let b = join("b");
    until("the second member has its share", || shares(&[&a, &b]) == two).await;
    let c = join("c");
    until("the third member has its share", || shares(&[&a, &b, &c]) == three).await;
    b.leave().await;
    until("two share what was the second's", || shares(&[&a, &c]) == two).await;
    a.leave().await;
    until("the last member has everything", || shares(&[&c]) == [alone]).await;
    let written = writer.stop();
    until("everything is finished", || books.finished() == written).await;
    c.leave().await;
    assert_eq!(books.lost(), 0, "no member was thrown out");
    println!("{written} records, {} repeated, {} commits refused", books.repeated(), books.refused());
    books
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_come_and_go_without_loss_or_repeat() {
    // Unlike Kafka, the mock refuses the commit of a member that gives partitions away once another has rejoined. Hence
    // so few partitions that only one member at a time gives some away; and it sends a member that is late to the
    // same rebalance into the next one, which is not avoidable on a busy machine.
    let books = three_members_come_and_go(member_config, 5, [3, 2], [2, 2, 1]).await;
    assert!(books.repeated() == 0 || books.refused() > 0, "{} records handled twice", books.repeated());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_come_and_go_without_loss_or_repeat_by_the_new_protocol() {
    let config = |cluster: &Cluster, name: &str| {
        let mut config = member_config(cluster, name);
        config.set("group.protocol", "consumer");
        config
    };
    let books = three_members_come_and_go(config, 12, [6, 6], [4, 4, 4]).await;
    assert_eq!(books.repeated(), 0, "records handled twice");
}

#[tokio::test]
async fn revoke_waits_for_work_in_hand_and_stores_it() {
    let cluster = cluster(2);
    write(&cluster, [0, 1].repeat(10), 100);
    let books = Arc::new(Books::default());
    let mut a = kafka::spawn(spec(member_config(&cluster, "a"), books.clone())).unwrap();
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
    // Unlike Kafka, the mock refuses commits while another member rejoins.
    let start = first.record.origin.offset;
    let excused = start < 7 && books.failed_commits() > 0;
    assert!(start == 7 || excused, "the new owner starts at {start}, not where the old one was done");
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

/// librdkafka keeps a pause over a rebalance: without a word from us the partition would be ours and never read again.
#[tokio::test]
async fn a_partition_that_was_paused_when_it_left_is_read_when_it_comes_back() {
    let cluster = cluster(2);
    write(&cluster, [0, 1], 100);
    let mut spec = spec(member_config(&cluster, "a"), Arc::new(()));
    spec.revoke_timeout = Duration::from_millis(300);
    let mut a = kafka::spawn(spec).unwrap();
    let ours: Vec<_> = assigned(&mut a).await.into_iter().map(|(id, _)| id).collect();
    read(&mut a, 2).await;
    a.commands.send(Command::Pause(ours)).unwrap();

    let mut b = consumer(member_config(&cluster, "b"));
    let Control::Revoked(leaving, _) = control(&mut a).await else { panic!("a revoke") };
    let moved = leaving[0].0;
    assert_eq!(assigned(&mut b).await[0].0, moved);
    close(b).await;
    assert_eq!(assigned(&mut a).await, [(moved, 3)]);
    let again = &read(&mut a, 1).await[0];
    assert_eq!((again.partition, again.epoch, again.record.origin.offset), (moved, 3, 0));
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

#[tokio::test]
async fn a_slow_worker_does_not_hold_up_the_group() {
    let cluster = cluster(2);
    write(&cluster, [0, 1].repeat(15_000), 10);
    let mut a = consumer(member_config(&cluster, "a"));
    assigned(&mut a).await;
    let mut b = consumer(member_config(&cluster, "b"));
    let since = Instant::now();
    // Five batches a second: what is fetched already would last for a minute and a half.
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    let answer = loop {
        tokio::select! {
            biased;
            Some(Control::Revoked(_, answer)) = a.control.recv() => break answer,
            _ = pace.tick() => { a.records.recv().await.unwrap(); }
        }
    };
    assert!(since.elapsed() < Duration::from_secs(20), "took {:?}", since.elapsed());
    answer.send(Vec::new()).unwrap();
    assigned(&mut b).await;
    close(b).await;
    close(a).await;
}
