"""What compression costs librdkafka's producer: CPU and bytes on the network for a record that is like an outcome, by codec.

    benches/on-kafka target/live/venv-*/bin/python benches/codecs.py

CPU is that of the whole process; what a record costs this script itself is in each row, so the rows' differences count.
"""

import json
import os
import resource
import statistics
import uuid

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

RECORDS, RUNS = 100_000, 5
CODECS = ("none", "lz4", "snappy", "zstd", "gzip")


def outcome(n: int) -> bytes:
    return json.dumps({
        "v": 1, "outcome": "applied", "evidence": "answer", "kind": "complete", "attempts": 1,
        "activity": {"domain": "payments", "workflow_id": f"order-{uuid.uuid4()}", "run_id": str(uuid.uuid4()),
                     "activity_id": str(n % 50), "attempt": 0},
        "source": {"topic": "payments-activity-replies", "partition": n % 12, "offset": n},
        "answered_at": f"2026-01-01T00:00:{n % 60:02}.{n % 1000:03}Z", "correlation_id": str(uuid.uuid4()),
    }).encode()


def play(brokers: str, codec: str, records: list[bytes]) -> tuple[float, float]:
    """CPU in microseconds, and bytes sent, for a record."""
    sent = 0

    def count(stats: str) -> None:
        nonlocal sent
        sent = json.loads(stats)["tx_bytes"]

    producer = Producer({"bootstrap.servers": brokers, "compression.type": codec, "enable.idempotence": True, "linger.ms": 5,
                         "queue.buffering.max.messages": RECORDS + 1, "statistics.interval.ms": 50, "stats_cb": count})
    before = resource.getrusage(resource.RUSAGE_SELF)
    for n, record in enumerate(records):
        producer.produce("codecs", record, partition=n % 12)
        if n % 1000 == 0:
            producer.poll(0)
    if producer.flush(60):
        raise SystemExit(f"not all was written with {codec}")
    after = resource.getrusage(resource.RUSAGE_SELF)
    producer.poll(0.2)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu * 1e6 / len(records), sent / len(records)


def main() -> None:
    brokers = os.environ["HANDBACK_BENCH_BROKERS"]
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([NewTopic("codecs", 12, 1)])["codecs"].result(30)
    records = [outcome(n) for n in range(RECORDS)]
    figures: dict[str, list[tuple[float, float]]] = {codec: [] for codec in CODECS}
    for _ in range(RUNS):
        for codec in CODECS:
            figures[codec].append(play(brokers, codec, records))
    print(f"{RECORDS} records of {len(records[0])} bytes, medians of {RUNS} runs in turn\n")
    print("codec    CPU us/record  sent bytes/record")
    for codec, runs in figures.items():
        print(f"{codec:<8} {statistics.median(r[0] for r in runs):13.1f}  {statistics.median(r[1] for r in runs):17.0f}")


main()
