"""A Spring Boot service without a line of handback code (`examples/spring-service`), as the workflow sees it."""

import base64

from .. import examples
from ..books import equal, true
from ..bridge import Bridge
from ..cadence import DOMAIN
from ..procs import wait_for
from ..stack import Stack
from . import new_id, scenario
from .dispatch import Dispatcher

GROUP = "handback-spring"
_CHARGE = {"ratio": 0, "note": None}

_CASES = {
    # name: (input, type the workflow wants, action of the reply, what the workflow must see)
    "result": ({"amount": 1250, "currency": "EUR"}, "struct", "complete",
               {"kind": "value", "value": {"charge_id": "ch_1250", "amount": 1250, **_CHARGE}, "details": None}),
    "collection": ({"amount": 5}, "any", "complete",
                   {"kind": "value", "value": [{"charge_id": "ch_half", "amount": 2}, {"charge_id": "ch_rest", "amount": 3}],
                    "details": None}),
    "nothing": ({"amount": 0, "currency": "EUR"}, "none", "complete",
                {"kind": "value", "value": {"text": "untouched"}, "details": None}),
    "envelope": ({"amount": -1, "currency": "EUR"}, "struct", "fail",
                 {"kind": "custom", "reason": "BadAmount", "message": "BadAmount", "details": {"amount": -1}}),
}


@scenario("spring", own_bridge=True)
def spring(stack: Stack) -> None:
    """a Spring service without handback code: result, collection, no result, exception, returned envelope; asked from Java too, and by dispatch"""
    topics = stack.spring
    service = examples.spring(stack.kafka.brokers, topics["requests"])
    more = {"topics": {"require_json": topics["replies"]}}
    bridge = Bridge("handback-spring", GROUP, stack.cadence, stack.kafka.brokers, topics, more)
    try:
        wait_for("the Spring service to read its topic", lambda: sum(stack.kafka.members("spring-service").values()), 60,
                 procs=(service,))
        bridge.wait_ready()
        _answers(stack, topics)
        _exceptions(stack, topics)
        _unquoted(stack, topics)
        _java_asks(stack, topics)
        _java_is_dispatched(stack, topics)
        stack.books.complete(GROUP, topics)
        bridge.drain()
    finally:
        service.stop(5)
        bridge.proc.stop(2)


def _start(stack: Stack, name: str, topics: dict, order: object, want: str) -> str:
    workflow = new_id(f"spring-{name}")
    stack.worker.start("Single", workflow, {"script": {**stack.script(topics=topics), "input": order}, "want": want,
                                            "start_to_close": 30})
    return workflow


def _answers(stack: Stack, topics: dict) -> None:
    ids = {name: _start(stack, name, topics, order, want) for name, (order, want, _, _) in _CASES.items()}
    for name, (_, _, action, seen) in _CASES.items():
        equal(f"{name}: what the workflow saw", stack.worker.result(ids[name]), seen)
        _check(stack, topics, ids[name], action)


def _exceptions(stack: Stack, topics: dict) -> None:
    """What the listener throws, and what does not even reach it."""
    declined = _start(stack, "exception", topics, {"amount": 100_001, "currency": "EUR"}, "struct")
    unread = _start(stack, "unreadable", topics, "no order", "struct")
    report = stack.worker.result(declined)
    equal("exception: what the workflow saw", (report["kind"], report["reason"]), ("custom", "example.Service$CardDeclined"))
    true("exception: its message", "over the limit: 100001" in str(report["details"]), report)
    _check(stack, topics, declined, "fail")
    report = stack.worker.result(unread)
    equal("unreadable: what the workflow saw", report["kind"], "custom")
    true("unreadable: names Spring's exception", "Exception" in report["reason"], report)
    _check(stack, topics, unread, "fail")


def _unquoted(stack: Stack, topics: dict) -> None:
    """What a String serialiser makes of "OK" is told by a dead letter; the answer as JSON is taken."""
    workflow = new_id("spring-unquoted")
    own = {**topics, "requests": stack.main["requests"]}
    stack.worker.start("Single", workflow, {"script": stack.script(topics=own), "want": "string"})
    request = stack.request_of(workflow)
    correlation = [("kafka_correlationId", request.header("kafka_correlationId"))]
    bare, quoted = (stack.sender.send(topics["replies"][0], value, None, correlation) for value in (b"OK", b'"OK"'))
    token = request.json["task_token"]
    for source, want, reason in ((bare, "rejected", "require_json"), (quoted, "applied", None)):
        reply = stack.tail.wait("a reply", source[0], lambda r, source=source: r.source == source)[0]
        stack.books.check(reply, want, "complete", topics=topics, token=token, reason=reason)
    equal("quoted: what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "OK", "details": None})


def _java_asks(stack: Stack, topics: dict) -> None:
    """The same service asked by a workflow in Java (`examples/java-worker`): a result, and its exception."""
    ids = {amount: new_id("java") for amount in (700, 100_001)}
    asking = {amount: examples.java_worker(stack.cadence.address, DOMAIN, stack.kafka.brokers, topics, workflow, amount)
              for amount, workflow in ids.items()}
    for (amount, proc), action, said in zip(asking.items(), ("complete", "fail"), ("charged: ch_700 for 700", "failed: java.lang.ClassNotFoundException: example.Service$CardDeclined"), strict=True):
        equal(f"java, {amount}: exit code", proc.wait(60), 0)
        true(f"java, {amount}: what it printed", said in proc.log.read_text(), proc.log)
        _check(stack, topics, ids[amount], action)


def _java_is_dispatched(stack: Stack, topics: dict) -> None:
    """A workflow in Java whose activity is on a task list that no worker polls: no code of anybody's publishes its request."""
    task_list, workflow = "java-activities", new_id("java-dispatched")
    dispatcher = Dispatcher("dispatch-spring", stack, stack.kafka.brokers, topics=topics, activity_type="Charging::charge",
                            task_list=task_list)
    try:
        asking = examples.java_worker(stack.cadence.address, DOMAIN, stack.kafka.brokers, topics, workflow, 900, dispatched=task_list)
        equal("java, dispatched: exit code", asking.wait(60), 0)
        true("java, dispatched: what it printed", "charged: ch_900 for 900" in asking.log.read_text(), asking.log)
        _check(stack, topics, workflow, "complete")
        equal("java, dispatched: published", dispatcher.counted("published"), 1)
        dispatcher.drain()
    finally:
        dispatcher.proc.stop(1)


def _check(stack: Stack, topics: dict, workflow: str, action: str) -> None:
    """Exactly one reply, applied."""
    token = stack.request_of(workflow, topics=topics).json["task_token"]
    raw = base64.b64decode(token)
    replies = stack.tail.wait(f"the reply for {workflow}", topics["replies"][0], lambda r: r.header("kafka_correlationId") == raw)
    equal(f"replies for {workflow}", len(replies), 1)
    stack.books.check(replies[0], "applied", action, topics=topics, token=token)
