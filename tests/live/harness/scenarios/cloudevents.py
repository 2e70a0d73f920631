"""Replies that a service writes with the CloudEvents SDK for Python."""

import base64
import json

from ..books import equal, true
from ..stack import GROUP, Stack
from . import new_id, scenario

_MODES = ("binary", "structured")
_BYTES = bytes(range(256))
_CHARGE = {"charge_id": "ch_é <1>", "amount": 9007199254740993, "ratio": 1.1, "note": None}
_CASES = {
    # name: (action, type the workflow wants, the event, what the workflow must see)
    "struct": ("complete", "struct", {"data": _CHARGE}, {"kind": "value", "value": _CHARGE, "details": None}),
    "bytes": ("complete", "bytes",
              {"data_base64": base64.b64encode(_BYTES).decode(), "attributes": {"datacontenttype": "application/octet-stream"}},
              {"kind": "value", "value": base64.b64encode(_BYTES).decode(), "details": None}),
    "failure": ("fail", "", {"data": {"code": 51, "hint": "grün"},
                             "attributes": {"failurereason": "CardDeclined", "failuremessage": "no cover"}},
                {"kind": "custom", "reason": "CardDeclined", "message": "CardDeclined", "details": {"code": 51, "hint": "grün"}}),
}


@scenario("cloudevents")
def cloudevents(stack: Stack) -> None:
    """a service answers with CloudEvents in both modes: results, a failure, a heartbeat that brings news, a cancel"""
    stack.bridge()
    stopped = new_id("event-cancel")
    beat = {"after": 0.5, "event": {"mode": "structured", "action": "heartbeat", "data": {"percent": 40}}, "times": 60}
    stop = {"event": {"mode": "binary", "action": "cancel", "data": {"by": "the service"}}}
    stack.worker.start("Single", stopped, {"script": stack.script([beat], on_cancel=[stop]), "cancel_on_signal": True,
                                           "heartbeat": 20})
    ids = {}
    for name, (action, want, event, _) in _CASES.items():
        for mode in _MODES:
            ids[name, mode] = new_id(f"event-{name}-{mode}")
            step = {"event": {**event, "mode": mode, "action": action}}
            more = {"want": want} if want else {}
            stack.worker.start("Single", ids[name, mode], {"script": stack.script([step]), **more})
    stack.replies_of(stopped, 1)
    stack.worker.signal(stopped, "cancel")
    for (name, mode), workflow in ids.items():
        action, _, _, seen = _CASES[name]
        equal(f"{name}, {mode}: what the workflow saw", stack.worker.result(workflow), seen)
        reply = stack.replies_of(workflow, 1)[0]
        _check(stack, workflow, reply, mode, action)
        if action == "complete":
            stored = base64.b64decode(stack.worker.events(workflow, "ActivityTaskCompleted")[0]["result"])
            equal(f"{name}, {mode}: result in history", stored, _BYTES if name == "bytes" else json.dumps(_CHARGE).encode())
    _check_cancel(stack, stopped)
    stack.books.committed(GROUP, stack.main)


def _check_cancel(stack: Stack, workflow: str) -> None:
    report = stack.worker.result(workflow)
    equal("what the workflow saw", (report["kind"], report["details"]), ("canceled", {"by": "the service"}))
    cancel = stack.tail.wait("the cancel reply", stack.main["replies"][0],
                             lambda r: r.header("ce_type") == b"handback.reply.cancel")[0]
    _check(stack, workflow, cancel, "binary", "cancel")
    told = {(o.json["source"]["partition"], o.json["source"]["offset"]): o for o in stack.tail.all(stack.main["outcomes"])}
    beats = [r for r in stack.replies_of(workflow, 1) if r.source != cancel.source]
    news = [b for b in beats if (b.partition, b.offset) in told]
    true("at least one heartbeat brought the news", news)
    _check(stack, workflow, news[0], "structured", "heartbeat", cancel_requested=True)


def _check(stack: Stack, workflow: str, reply, mode: str, action: str, **more) -> None:
    """The reply is what the SDK writes, and its outcome names the event."""
    if mode == "binary":
        said = {name: reply.header(f"ce_{name}").decode() for name in ("id", "source", "type")}
    else:
        equal("content-type", reply.header("content-type"), b"application/cloudevents+json")
        said = json.loads(reply.value)
    equal("type", said["type"], f"handback.reply.{action}")
    stack.books.check(reply, "applied", action, token=stack.request_of(workflow).json["task_token"],
                      event={"id": said["id"], "source": said["source"]}, **more)
