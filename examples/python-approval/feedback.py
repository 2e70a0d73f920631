"""Which activities nobody waits for any more, as the outcome topic tells it."""

import json
import time
from collections import OrderedDict

from confluent_kafka import Consumer, TopicPartition

GONE = {"superseded", "timed_out", "workflow_closed", "unknown", "not_found"}
REMEMBERED = 10_000


def name(activity: dict) -> tuple:
    return activity["workflow_id"], activity["run_id"], activity["activity_id"], activity["attempt"]


class Feedback:
    def __init__(self, brokers: str, topic: str, lookback: float = 600):
        # Partitions assigned by hand: every instance reads all of them, and no group keeps offsets.
        self._consumer = Consumer({"bootstrap.servers": brokers, "group.id": "none", "enable.auto.commit": False})
        self._news: OrderedDict[tuple, str] = OrderedDict()
        # From some time ago, not from the end: a cancellation is told once, perhaps to an instance that has died since.
        since = int((time.time() - lookback) * 1000)
        numbers = self._consumer.list_topics(topic, 10).topics[topic].partitions
        ends = {n: self._consumer.get_watermark_offsets(TopicPartition(topic, n), 10)[1] for n in numbers}
        places = self._consumer.offsets_for_times([TopicPartition(topic, n, since) for n in numbers], 10)
        for place in places:
            place.offset = place.offset if place.offset >= 0 else ends[place.partition]
        self._consumer.assign(places)

    def of(self, activity: dict) -> str | None:
        """`cancel`: stop and answer `cancel`. Any other word: it is gone, stop and answer nothing."""
        for message in self._consumer.consume(1000, 0):
            if message.error() is None:
                self._note(json.loads(message.value()))
        return self._news.get(name(activity))

    def _note(self, outcome: dict) -> None:
        if outcome["action"] != "heartbeat":
            return
        if outcome["outcome"] in GONE:
            self._news[name(outcome["activity"])] = outcome["outcome"]
        elif outcome["cancel_requested"]:
            self._news[name(outcome["activity"])] = "cancel"
        while len(self._news) > REMEMBERED:
            self._news.popitem(last=False)
