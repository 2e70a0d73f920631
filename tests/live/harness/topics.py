"""Reading topics to the end and writing replies, as any Kafka client would."""

import base64
import json
import threading
import time
from dataclasses import dataclass, field

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from .procs import Failed


@dataclass(frozen=True)
class Rec:
    """A record as it is on its topic."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)

    @property
    def source(self) -> tuple[str, int, int]:
        return self.topic, self.partition, self.offset

    @property
    def json(self) -> dict:
        return json.loads(self.value)

    def header(self, name: str) -> bytes | None:
        found = [v for k, v in self.headers if k == name]
        if len(found) > 1:
            raise AssertionError(f"header {name} is there {len(found)} times: {found}")
        return found[0] if found else None


class Tail:
    """All records of some topics, from their beginning, as they come."""

    def __init__(self, brokers: str, topics: dict[str, int]):
        self._records: list[Rec] = []
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._consumer = Consumer({"bootstrap.servers": brokers, "group.id": "tail", "enable.auto.commit": False,
                                   "enable.auto.offset.store": False, "fetch.wait.max.ms": 50, "log_level": 0,
                                   # What stands behind an open transaction is there all the same.
                                   "isolation.level": "read_uncommitted"})
        self._consumer.assign([TopicPartition(t, p, OFFSET_BEGINNING) for t, n in topics.items() for p in range(n)])
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._stop.is_set():
            batch = [m for m in self._consumer.consume(500, 0.1) if m.error() is None]
            if batch:
                with self._news:
                    self._records += [Rec(m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.key(), m.value(),
                                          m.headers() or []) for m in batch]
                    self._news.notify_all()
        self._consumer.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def all(self, topic: str) -> list[Rec]:
        with self._news:
            return [r for r in self._records if r.topic == topic]

    def wait(self, what: str, topic: str, want, count: int = 1, timeout: float = 60.0) -> list[Rec]:
        """Records of a topic that `want` is true for, once there are `count` of them."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                found = [r for r in self._records if r.topic == topic and want(r)]
                if len(found) >= count:
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Failed(f"waited {timeout:.0f} s for {what} on {topic}: {len(found)} of {count} there")
                self._news.wait(min(left, 1.0))


class Sender:
    """Writes records and tells where they are."""

    def __init__(self, brokers: str):
        self._producer = Producer({"bootstrap.servers": brokers, "acks": "all", "linger.ms": 0, "log_level": 0})

    def send(self, topic: str, value: bytes | None, key: bytes | None = None, headers: list | None = None,
             partition: int | None = None) -> tuple[str, int, int]:
        told: list = []
        where = {} if partition is None else {"partition": partition}
        self._producer.produce(topic, value=value, key=key, headers=headers or [], **where,
                               on_delivery=lambda fault, m: told.append((fault, m)))
        if self._producer.flush(30) or told[0][0] is not None:
            raise Failed(f"could not write to {topic}: {told}")
        m = told[0][1]
        return m.topic(), m.partition(), m.offset()

    def reply(self, request: Rec, **answer) -> tuple[str, int, int]:
        """An answer in a JSON envelope to a request, echoing its key."""
        body = {"task_token": request.json["task_token"], **answer}
        return self.send(request.json["reply_to"], json.dumps(body).encode(), request.key)


def claims(token_text: str) -> dict:
    """What a task token in base64 says."""
    return json.loads(base64.b64decode(token_text))
