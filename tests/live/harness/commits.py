"""Every offset that a group has ever committed, from the broker's own log, and whether it was allowed by then."""

import struct
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from .procs import Failed, wait_for
from .topics import Rec

_TOPIC = "__consumer_offsets"
# The clock of a virtual machine steps back by a few milliseconds at times.
_CLOCK_STEP_MS = 5


@dataclass(frozen=True)
class Commit:
    topic: str
    partition: int
    offset: int
    # When the coordinator took it, in ms.
    at: int


def commits_of(brokers: str, group: str) -> list[Commit]:
    """In the order in which they were made."""
    found: list[Commit] = []
    reader = Consumer({"bootstrap.servers": brokers, "group.id": "commits", "enable.auto.commit": False, "log_level": 0})
    try:
        partitions = reader.list_topics(_TOPIC, timeout=10).topics[_TOPIC].partitions
        ends = {p: reader.get_watermark_offsets(TopicPartition(_TOPIC, p), timeout=10)[1] for p in partitions}
        reader.assign([TopicPartition(_TOPIC, p, OFFSET_BEGINNING) for p, end in ends.items() if end])

        def read() -> bool:
            for m in reader.consume(1000, 0.2):
                if m.error() is None and (commit := _decoded(m, group)):
                    found.append(commit)
            there = {p.partition: p.offset for p in reader.position(reader.assignment())}
            return all(there[p] >= end for p, end in ends.items() if end)

        wait_for(f"the end of {_TOPIC}", read, 30, every=0)
    finally:
        reader.close()
    return found


def _decoded(message, group: str) -> Commit | None:
    key, value = message.key(), message.value()
    # Versions 0 and 1 of a key are commits; no value means that the group or its topic was deleted.
    if key is None or value is None or int.from_bytes(key[:2], "big") > 1:
        return None
    name, rest = _text(key[2:])
    topic, rest = _text(rest)
    if name != group:
        return None
    # All versions of a value begin with version and offset.
    return Commit(topic, *struct.unpack(">i", rest[:4]), *struct.unpack(">q", value[2:10]), message.timestamp()[1])


def _text(raw: bytes) -> tuple[str, bytes]:
    length = int.from_bytes(raw[:2], "big")
    return raw[2:2 + length].decode(), raw[2 + length:]


def check_commits(commits: list[Commit], first: dict[tuple, Rec]) -> int:
    """No commit goes back, and none passes a record of which the broker had taken neither an outcome nor a move by then.

    `first` holds the first outcome of each record, or the record on a retry topic that came before it. Outcome topics must use
    LogAppendTime; a move has the time at which it was written. Returns how many commits were looked at.
    """
    at: dict[tuple[str, int], int] = {}
    for c in commits:
        begin = at.get((c.topic, c.partition), 0)
        if c.offset < begin:
            raise AssertionError(f"a commit of {c.topic}/{c.partition} goes back from {begin} to {c.offset}")
        for offset in range(begin, c.offset):
            outcome = first.get((c.topic, c.partition, offset))
            if outcome is None or outcome.timestamp > c.at + _CLOCK_STEP_MS:
                when = "not there" if outcome is None else f"taken {outcome.timestamp - c.at} ms later"
                raise AssertionError(f"{c.topic}/{c.partition} was committed up to {c.offset} while the outcome of {offset} "
                                     f"was {when}")
        at[(c.topic, c.partition)] = c.offset
    if not commits:
        raise Failed("no commit was found")
    return len(commits)
