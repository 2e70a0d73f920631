"""Keeps what one version of handback leaves on its topics, for tests of later ones: `tests/live/run --record FILE`.

One line of JSON for each record, keys, values and headers in base64. Of replies that were treated alike one is kept, with all that
became of it: its records on retry topics, its outcomes, its dead letter. The last lines are what the groups have committed.
"""

import base64
import json
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions

from . import term
from .books import source_of
from .scenarios import ALL
from .stack import GROUP, Stack
from .topics import Rec

# Those whose replies differ in kind.
_PLAYED = ("results", "by-id", "duplicate", "cloudevents", "failures", "retry", "cancel", "late-open", "late-closed", "closed",
           "repeats", "superseded", "rubbish", "cancel-unasked", "retry-topics")
# Longer ones make the file long and tell nothing more.
_MAX_VALUE = 2048


def record(stack: Stack, file: Path) -> None:
    for scenario in (s for s in ALL if s.name in _PLAYED):
        scenario.run(stack)
        term.line(f"played: {scenario.name}")
    _park(stack)
    bridge = stack.bridge()
    bridge.drain()
    kept = _kept(stack)
    lines = [_line(r) for r in kept] + _committed(stack, GROUP) + _committed(stack, f"{GROUP}-retry")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    term.line(f"{len(kept)} records, {file.stat().st_size // 1024} KiB: {file}")


def _park(stack: Stack) -> None:
    """A reply that waits for a domain to be there."""
    target = {"domain": "not-there-yet", "workflow_id": "w", "run_id": "7a0c6f4e-0a52-4f5e-8d0a-5a5f4e0a5252", "activity_id": "1"}
    source = stack.sender.send(stack.main["replies"][0], json.dumps({"activity": target, "result": 1}).encode(), b"parked")
    stack.tail.wait("the parked reply", stack.main["retry"][-1], lambda r: _origin(r) == source)


def _kept(stack: Stack) -> list[Rec]:
    replies = [r for r in stack.tail.all(stack.main["replies"][0]) if len(r.value or b"") <= _MAX_VALUE]
    retries = [r for topic in stack.main["retry"] for r in stack.tail.all(topic)]
    outcomes, letters = (stack.tail.all(stack.main[name]) for name in ("outcomes", "dead_letters"))
    kinds, kept = set(), []
    for reply in replies:
        after = [r for r in outcomes if source_of(r) == reply.source]
        moved = [r for r in retries if _origin(r) == reply.source]
        kind = (_form(reply), *(_kind(r) for r in after), *(r.topic for r in moved))
        if kind not in kinds and (after or moved):
            kinds.add(kind)
            kept += [reply, *moved, *after, *(r for r in letters if _origin(r) == reply.source)]
    return sorted(kept, key=lambda r: (r.topic, r.partition, r.offset))


def _form(reply: Rec) -> tuple:
    """Names of headers and fields: what a reader of replies looks at first."""
    try:
        fields = sorted(json.loads(reply.value))
    except (ValueError, TypeError):
        fields = None
    return repr(sorted({name for name, _ in reply.headers})), repr(fields)


def _kind(outcome: Rec) -> tuple:
    said = outcome.json
    return said["outcome"], said["action"], said["reason"], said["evidence"]


def _origin(record: Rec) -> tuple | None:
    # The last of a name is handback's own.
    said = dict(record.headers)
    topic, partition, offset = (said.get(f"handback-source-{name}") for name in ("topic", "partition", "offset"))
    return (topic.decode(), int(partition), int(offset)) if topic else None


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _line(record: Rec) -> dict:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset, "timestamp": record.timestamp,
            "key": _text(record.key), "value": _text(record.value), "headers": [[n, _text(v)] for n, v in record.headers]}


def _committed(stack: Stack, group: str) -> list[dict]:
    asked = stack.kafka.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
    return [{"group": group, "topic": p.topic, "partition": p.partition, "committed": p.offset, "metadata": p.metadata}
            for p in sorted(asked.result(10).topic_partitions, key=lambda p: (p.topic, p.partition)) if p.offset >= 0]
