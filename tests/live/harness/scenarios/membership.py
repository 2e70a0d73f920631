"""What a broker does not let a member do: join its group, or read a topic that it may describe."""

import time

from confluent_kafka import Consumer

from .. import build
from ..books import equal, true
from ..bridge import Bridge
from ..pair import reason_with
from ..procs import Failed, Proc, wait_for
from ..stack import Stack
from . import new_id, scenario
from .secure import PASSWORD, login, rights


@scenario("refused-member", own_bridge=True, beside=True)
def refused_member(stack: Stack) -> str:
    """a group that does not take the process in: unready with reason and remedy, `check` says it too; taken in, it goes on"""
    topics, brokers = stack.beside["refused"], stack.kafka.brokers
    stranger = _stranger(brokers, "handback-refused", topics["replies"])
    bridges = [Bridge("handback-refused", "handback-refused", stack.cadence, brokers, topics),
               Bridge("handback-too-short", "handback-too-short", stack.cadence, brokers, topics, {"kafka": {"session_timeout": "900ms"}, "bridge": {"revoke_timeout": "500ms", "drain_timeout": "500ms"}})]
    try:
        said = [_unready(bridges[0], "assignor", "kafka.group_id"), _unready(bridges[1], "kafka.session_timeout")]
        _check_says(bridges[0], "handback-refused", "INCONSISTENT_GROUP_PROTOCOL")
        _check_says(bridges[1], "kafka.session_timeout", "group.min.session.timeout.ms")
        equal("/livez", [bridge.get("/livez")[0] for bridge in bridges], [200, 200])
        stranger.close()
        bridges[0].wait_ready()
        workflow = new_id("refused")
        stack.worker.start("Single", workflow, {"script": stack.script([], topics=topics), "want": "string"})
        request = stack.request_of(workflow, topics=topics)
        stack.sender.reply(request, result="taken in")
        equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "taken in", "details": None})
        for bridge in bridges:
            bridge.drain()
        return "; ".join(said)
    finally:
        for bridge in bridges:
            bridge.proc.stop(1)


def _stranger(brokers: str, group: str, topics: list[str]) -> Consumer:
    """A member with an assignor that handback does not have."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": group, "partition.assignment.strategy": "range",
                         "session.timeout.ms": 30_000, "enable.auto.commit": False, "log_level": 0})
    consumer.subscribe(topics)
    wait_for("the stranger to be a member", lambda: consumer.poll(0.2) or consumer.assignment(), 30, every=0)
    return consumer


def _unready(bridge: Bridge, *words: str) -> str:
    try:
        return wait_for("the reason on /readyz", lambda: reason_with(bridge, words), 60, procs=(bridge.proc,))
    except Failed as fault:
        raise Failed(f"{fault}: {bridge.get('/readyz')}", fault.log) from None


def _stays(bridge: Bridge, topics: list[str], seconds: float = 12) -> None:
    """At every look, however often the broker lets the topic be described."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status, text = bridge.get("/readyz")
        true(f"/readyz goes on naming {topics}", status == 503 and all(topic in text for topic in topics), (status, text))
        time.sleep(0.2)


def _check_says(bridge: Bridge, *words: str) -> None:
    proc = Proc(f"check-{bridge.name}", [build.handback(), "--config", bridge.file, "check"])
    code = proc.wait(60)
    said = proc.log.read_text()
    true(f"`check` does not pass and says {words}", code != 0 and all(word in said for word in words), (code, said))


@scenario("unreadable", own_bridge=True, beside=True)
def unreadable(stack: Stack) -> str:
    """without READ on a reply and a retry topic, while DESCRIBE is there: unready by name; granted, the same process goes on"""
    user, group, topics = "reader", "handback-unreadable", stack.secure
    withheld = [("TOPIC", topics["replies"][0], "READ"), ("TOPIC", topics["retry"][0], "READ")]
    stack.kafka.add_user(user, PASSWORD)
    stack.kafka.allow(user, [r for r in rights(topics, group) if r not in withheld])
    stack.kafka.allow(user, [("TOPIC", topics["replies"][0], "DESCRIBE")])
    bridge = Bridge("handback-unreadable", group, stack.cadence, stack.kafka.secure_brokers, topics, login(PASSWORD, user))
    try:
        said = [_unready(bridge, topic, "READ") for _, topic, _ in withheld]
        _stays(bridge, [topic for _, topic, _ in withheld])
        workflow = new_id("unreadable")
        stack.worker.start("Single", workflow, {"script": stack.script([{"reply": {"result": "in the end"}}], topics=topics), "want": "string"})
        reply = stack.replies_of(workflow, 1, topics=topics)[0]
        equal("committed offsets", {p: o for p, o in stack.kafka.committed(group, reply.topic).items() if o > 0}, {})
        stack.kafka.allow(user, withheld)
        bridge.wait_ready()
        equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "in the end", "details": None})
        stack.books.check(reply, "applied", "complete", topics=topics, token=reply.json["task_token"])
        bridge.drain()
        return said[0]
    finally:
        bridge.proc.stop(1)
