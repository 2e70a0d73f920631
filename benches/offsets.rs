//! What the bookkeeping of offsets costs a record: delivered, settled, asked for what may be committed.

#![allow(missing_docs, reason = "a bench has no API")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use handback::bridge::lanes::{Laned, Lanes};
use handback::bridge::offsets::Offsets;

/// An answer, which is all that the bench puts into lanes.
struct Record;

impl Laned for Record {
    type Beat = u8;

    fn beat(&self) -> Option<u8> {
        None
    }
}

const RECORDS: i64 = 10_000;

/// Settles in the order in which a window of 256 finishes when every seventh takes longest.
fn out_of_order() -> Vec<i64> {
    let mut order = Vec::new();
    for window in (0..RECORDS).collect::<Vec<_>>().chunks(256) {
        order.extend(window.iter().filter(|o| *o % 7 != 0));
        order.extend(window.iter().filter(|o| *o % 7 == 0));
    }
    order
}

fn settle_all(order: &[i64]) -> i64 {
    let mut offsets = Offsets::new();
    let mut committed = 0;
    for window in order.chunks(256) {
        let mut delivered = window.to_vec();
        delivered.sort_unstable();
        for offset in delivered {
            offsets.deliver(offset, Some(offset));
        }
        for offset in window {
            offsets.settle(*offset);
        }
        committed = offsets.take_committable().unwrap_or(committed);
    }
    committed
}

fn offsets(c: &mut Criterion) {
    let mut group = c.benchmark_group("offsets");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let in_order: Vec<i64> = (0..RECORDS).collect();
    group.bench_function("in order", |b| b.iter(|| settle_all(black_box(&in_order))));
    let shuffled = out_of_order();
    group.bench_function("out of order within 256", |b| b.iter(|| settle_all(black_box(&shuffled))));
    group.finish();
}

fn lanes(c: &mut Criterion) {
    let mut group = c.benchmark_group("lanes");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("256 in hand, all different", |b| {
        b.iter_batched(
            || Lanes::new(64),
            |mut lanes| {
                for lane in 0..RECORDS as u64 {
                    black_box(lanes.enter(lane, Record));
                    if lane >= 256 {
                        black_box(lanes.leave(lane - 256));
                    }
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, offsets, lanes);
criterion_main!(benches);
