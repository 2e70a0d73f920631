"""Records that Kafka takes and that most clients never write: names of headers that are no text, and much in little."""

import base64
import hashlib
import json
import random
import uuid

from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from ..books import equal, source_of, true
from ..bridge import Bridge
from ..cadence import DOMAIN
from ..procs import Failed, wait_for
from ..stack import Stack
from ..topics import Rec
from . import new_id, scenario

# As a C, C++ or Go program writes them: Latin-1, a broken sequence, a NUL, nothing at all.
_NAMES = [(b"tr\xe4ce", b"1"), (b"\xff\xfe", None), (b"", b"empty"), (b"plain", b"\x00\xff")]
_NUL = b"cut\x00short"
# Retry topics are read soon.
_SOON = {"retry": {"spent": "1s"}}


@scenario("header-names", own_bridge=True, beside=True)
def header_names(stack: Stack) -> None:
    """header names that are not UTF-8 on reply, retry and outcome topics: judged by the rest, kept byte for byte, in nobody's way"""
    topics, group = stack.beside["headers"], "handback-headers"
    # Somebody else's record stands where the ledger is read.
    for partition in range(4):
        stack.worker.produce(topics["outcomes"], partition, None, b"not ours", _NAMES)
    bridge = Bridge("handback-headers", group, stack.cadence, stack.kafka.brokers, topics, _SOON)
    try:
        bridge.wait_ready()
        answered = _answered(stack, topics)
        rubbish = _send(stack, topics, b"hello", [*_NAMES, ("reason".encode(), b"rubbish")])
        cut = _send(stack, topics, b"hello", [(_NUL, b"1"), *_NAMES])
        nowhere = {"domain": DOMAIN, "workflow_id": "nowhere", "run_id": str(uuid.uuid4()), "activity_id": "1"}
        unknown = _send(stack, topics, json.dumps({"activity": nowhere, "result": 1}).encode(), _NAMES)
        for source, outcome in ((rubbish, "rejected"), (cut, "rejected"), (unknown, "unknown")):
            equal(f"outcome of {source}", _outcome(stack, topics, source)["outcome"], outcome)
        _check_letters(stack, topics, {rubbish: False, cut: True, unknown: False})
        moved = [r for topic in topics["retry"] for r in stack.worker.records(topic)]
        equal("the unknown reply passed both retry topics", [r.headers[:len(_NAMES)] for r in moved], [_NAMES, _NAMES])
        bridge.drain()
        # The ledger is read past what is not ours: a resend is known without a call.
        bridge = Bridge("handback-headers", group, stack.cadence, stack.kafka.brokers, topics, _SOON).wait_ready()
        again = _send(stack, topics, answered.value, _NAMES, answered.partition)
        outcome = _outcome(stack, topics, again)
        equal("the same again", (outcome["outcome"], outcome["attempts"]), ("duplicate", 0))
        bridge.drain()
    finally:
        bridge.proc.stop(1)


def _send(stack: Stack, topics: dict, value: bytes, headers: list, partition: int = 1) -> tuple:
    return stack.worker.produce(topics["replies"][0], partition, b"any \xff", value, headers)


def _answered(stack: Stack, topics: dict) -> Rec:
    """A reply with such names that is right: its workflow gets it."""
    workflow = new_id("headers")
    stack.worker.start("Single", workflow, {"script": stack.script([], topics=topics), "want": "string"})
    request = stack.request_of(workflow, topics=topics)
    value = json.dumps({"task_token": request.json["task_token"], "result": "all the same"}).encode()
    source = _send(stack, topics, value, _NAMES)
    equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "all the same", "details": None})
    equal("outcome", _outcome(stack, topics, source)["outcome"], "applied")
    return Rec(*source, 0, None, value)


def _outcome(stack: Stack, topics: dict, source: tuple) -> dict:
    """The tests' own client reads no record with such names: the outcomes beside them are read as bytes, too."""
    def there() -> dict | None:
        ours = [r for r in stack.worker.records(topics["outcomes"]) if r.value != b"not ours"]
        return next((r.json for r in ours if source_of(r) == source), None)

    return wait_for(f"the outcome of {source}", there, 60, every=0.5)


def _check_letters(stack: Stack, topics: dict, want: dict[tuple, bool]) -> None:
    """Each is the record byte for byte, but for the name that no client takes whole, which the detail says."""
    replies = {r.source: r for r in stack.worker.records(topics["replies"][0])}
    letters = {}
    for letter in stack.worker.records(topics["dead_letters"]):
        last = dict(letter.headers)
        letters[(last[b"handback-source-topic"].decode(), int(last[b"handback-source-partition"]),
                 int(last[b"handback-source-offset"]))] = letter
    equal("dead letters", set(letters), set(want))
    for source, cut in want.items():
        reply, letter = replies[source], letters[source]
        equal("key and value", (letter.key, letter.value), (reply.key, reply.value))
        kept = [(_readable(name), value) for name, value in letter.headers[:len(reply.headers)]]
        equal("headers as received", kept, [(_readable(name), value) for name, value in reply.headers])
        if cut:
            detail = dict(letter.headers)[b"handback-dlq-detail"].lower()
            true("the detail tells of the name that was cut", b"header" in detail and b"nul" in detail, detail)


def _readable(name: bytes) -> bytes:
    """What a client in C tells of a name."""
    return name.partition(b"\x00")[0]


# What a record may take on the dead-letter topic here, and what compresses to less and to more than that.
_LETTER_LIMIT = 200_000
_MIB = 1024 * 1024


@scenario("compressed", own_bridge=True, beside=True)
def compressed(stack: Stack) -> None:
    """10 MB of JSON that came as 1 MB, or as little: moved and dead-lettered whole, or without its value; those behind it go on"""
    topics, group = stack.beside["large"], "handback-large"
    _limit(stack, topics["dead_letters"], _LETTER_LIMIT)
    bridge = Bridge("handback-large", group, stack.cadence, stack.kafka.brokers, topics, _SOON)
    try:
        bridge.wait_ready()
        workflow = new_id("large")
        stack.worker.start("Single", workflow, {"script": stack.script([], topics=topics), "want": "string"})
        request = stack.request_of(workflow, topics=topics)
        token = request.json["task_token"]
        nowhere = {"domain": DOMAIN, "workflow_id": "nowhere", "run_id": str(uuid.uuid4()), "activity_id": "1"}
        # Ten times what a record may have as it is; a tenth of it when compressed, which the dead-letter topic does not take.
        dense = _write(stack, topics, {"task_token": token, "result": _dense(10 * _MIB)})
        light = _write(stack, topics, {"task_token": token, "result": "x" * 10 * _MIB})
        moved = _write(stack, topics, {"activity": nowhere, "result": "y" * (3 * _MIB // 2)})
        behind = _write(stack, topics, {"task_token": token, "result": "behind it"})
        equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "behind it", "details": None})
        for reply, outcome, reason in ((dense, "rejected", "too_large"), (light, "rejected", "too_large"),
                                       (moved, "unknown", None), (behind, "applied", None)):
            doc = stack.books.outcome(reply, topics).json
            equal(f"outcome of {len(reply.value)} bytes ({doc['detail']})", doc["outcome"], outcome)
            true("its reason", reason in (None, doc["reason"]), doc)
        for reply in (light, moved):
            equal("value of the dead letter", stack.books.dead_letters_of(reply, topics)[0].value == reply.value, True)
        _check_omitted(stack, topics, dense)
        stack.books.committed(group, topics)
        bridge.drain()
    finally:
        bridge.proc.stop(1)


def _check_omitted(stack: Stack, topics: dict, reply: Rec) -> None:
    letter = stack.books.dead_letters_of(reply, topics)[0]
    true("no value", not letter.value, letter.value)
    said = letter.header("handback-dlq-value-omitted").decode()
    for part in (str(len(reply.value)), hashlib.sha256(reply.value).hexdigest()):
        true(f"handback-dlq-value-omitted says {part}", part in said, said)


def _dense(size: int) -> str:
    """Text of which every compression takes about nine tenths away: words from a short list, in any order."""
    chance = random.Random(7)
    words = [base64.b64encode(chance.randbytes(24)).decode() for _ in range(64)]
    return " ".join(chance.choices(words, k=size // 33))


def _write(stack: Stack, topics: dict, envelope: dict) -> Rec:
    """As a service with a compressing client does."""
    told: list = []
    producer = Producer({"bootstrap.servers": stack.kafka.brokers, "compression.type": "gzip", "message.max.bytes": 20 * _MIB,
                         "linger.ms": 0, "log_level": 0})
    producer.produce(topics["replies"][0], value=json.dumps(envelope).encode(), key=b"k", partition=2,
                     on_delivery=lambda fault, m: told.append((fault, m)))
    if producer.flush(60) or told[0][0] is not None:
        raise Failed(f"the broker does not take it: {told}")
    m = told[0][1]
    return stack.tail.wait("the reply", m.topic(), lambda r: r.source == (m.topic(), m.partition(), m.offset()))[0]


def _limit(stack: Stack, topic: str, size: int) -> None:
    change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)])
    stack.kafka.admin.incremental_alter_configs([change])[change].result(10)
