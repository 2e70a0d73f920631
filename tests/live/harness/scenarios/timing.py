"""Activities that take their time: heartbeats and cancellation."""

import time

from ..books import equal, true
from ..stack import GROUP, Stack
from . import new_id, scenario


@scenario("heartbeat")
def heartbeat(stack: Stack) -> None:
    """heartbeats keep an activity with a 5 s heartbeat timeout alive for 15 s; without them it times out"""
    stack.bridge()
    alive, silent = new_id("heartbeat"), new_id("no-heartbeat")
    beat = {"after": 2.5, "reply": {"action": "heartbeat", "details": {"percent": 40}}, "times": 6}
    began = time.monotonic()
    stack.worker.start("Single", alive, {"script": stack.script([beat, {"after": 0.5, "reply": {"result": "alive"}}]),
                                         "want": "string", "heartbeat": 5})
    stack.worker.start("Single", silent, {"script": stack.script([]), "heartbeat": 5})

    lost = stack.worker.result(silent)
    equal("silent: kind", (lost["kind"], lost["reason"]), ("timeout", "HEARTBEAT"))
    equal("alive: what the workflow saw", stack.worker.result(alive), {"kind": "value", "value": "alive", "details": None})
    true("it was alive for 15 s", time.monotonic() - began >= 15)
    token = stack.request_of(alive).json["task_token"]
    *beats, answer = stack.replies_of(alive, 7)
    stack.books.check(answer, "applied", "complete", token=token)
    for reply in beats:
        stack.books.none(reply)
    stack.books.committed(GROUP, stack.main)


@scenario("cancel")
def cancel(stack: Stack) -> None:
    """a heartbeat's outcome tells the service of a cancel request; its cancel reply is accepted"""
    stack.bridge()
    workflow = new_id("cancel")
    beat = {"after": 1, "reply": {"action": "heartbeat"}, "times": 60}
    script = stack.script([beat], on_cancel=[{"reply": {"action": "cancel", "details": {"by": "the service"}}}])
    stack.worker.start("Single", workflow, {"script": script, "cancel_on_signal": True, "heartbeat": 20})
    token = stack.request_of(workflow).json["task_token"]
    stack.replies_of(workflow, 1)
    stack.worker.signal(workflow, "cancel")

    report = stack.worker.result(workflow)
    equal("what the workflow saw", (report["kind"], report["details"]), ("canceled", {"by": "the service"}))
    replies = stack.tail.wait("the cancel reply", stack.main["replies"][0],
                              lambda r: b'"cancel"' in (r.value or b"") and token.encode() in r.value)
    stack.books.check(replies[0], "applied", "cancel", token=token)
    beats = [r for r in stack.replies_of(workflow, 1) if r.source != replies[0].source]
    news = [b for b in beats if any(_names(o, b) for o in stack.tail.all(stack.main["outcomes"]))]
    true("at least one heartbeat brought the news", news)
    stack.books.check(news[0], "applied", "heartbeat", token=token, cancel_requested=True)
    stack.books.committed(GROUP, stack.main)


def _names(outcome, reply) -> bool:
    s = outcome.json["source"]
    return (s["topic"], s["partition"], s["offset"]) == reply.source
