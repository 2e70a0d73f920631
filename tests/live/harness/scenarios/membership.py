"""What a broker does not let a member do: read a topic that it may describe."""

import time

from ..books import equal, true
from ..bridge import Bridge
from ..pair import reason_with
from ..procs import Failed, wait_for
from ..stack import Stack
from . import new_id, scenario
from .secure import PASSWORD, login, rights


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
