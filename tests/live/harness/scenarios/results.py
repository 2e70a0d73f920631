"""Completions: what a service answers is what Go workflow code gets, byte for byte."""

import base64
import json

from ..books import equal, true
from ..stack import GROUP, Stack
from . import new_id, scenario

# Spacing, the order of fields and a number that no double holds: a re-encoded result would differ.
_STRUCT = '{"note": null,  "charge_id":"ch_\\u00e9 <1>", "amount" : 9007199254740993, "ratio":1.10}'
_BYTES = bytes(range(256))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


_CASES = {
    # name: (type the workflow wants, step of the service, what the workflow must see, result bytes in history)
    "struct": ("struct", {"result_text": _STRUCT},
               {"charge_id": "ch_é <1>", "amount": 9007199254740993, "ratio": 1.1, "note": None}, _STRUCT.encode()),
    "string": ("string", {"reply": {"result": "grün & \"quoted\"", "metadata": {"host": "svc-1"}}}, "grün & \"quoted\"",
               json.dumps("grün & \"quoted\"").encode()),
    "bytes": ("bytes", {"reply": {"result_base64": _b64(_BYTES)}}, _b64(_BYTES), _BYTES),
    "header-mode": ("bytes", {"value_base64": _b64(_BYTES)}, _b64(_BYTES), _BYTES),
    "null": ("null", {"reply": {"result": None}}, {"is_nil": True}, b"null"),
    "none": ("none", {"reply": {"action": "complete"}}, {"text": "untouched"}, None),
}


@scenario("results")
def results(stack: Stack) -> None:
    """complete with struct, string, bytes, header mode, null and no result"""
    stack.bridge()
    ids = {}
    for name, (want, step, _, _) in _CASES.items():
        ids[name] = new_id(f"result-{name}")
        stack.worker.start("Single", ids[name], {"script": stack.script([step]), "want": want})
    for name, (_, step, seen, raw) in _CASES.items():
        report = stack.worker.result(ids[name])
        equal(f"{name}: what the workflow saw", report, {"kind": "value", "value": seen, "details": None})
        _check_event(stack, name, ids[name], raw)
        reply = stack.replies_of(ids[name], 1)[0]
        token = stack.request_of(ids[name]).json["task_token"]
        doc = stack.books.check(reply, "applied", "complete", token=token, metadata=step.get("reply", {}).get("metadata"))
        _check_identity(stack, ids[name], reply, doc)
    stack.books.committed(GROUP, stack.main)


def _check_event(stack: Stack, name: str, workflow_id: str, raw: bytes | None) -> None:
    event = stack.worker.events(workflow_id, "ActivityTaskCompleted")[0]
    stored = event.get("result")
    if raw is None:
        true(f"{name}: history holds no result", not stored, stored)
    else:
        equal(f"{name}: result in history", base64.b64decode(stored), raw)


def _check_identity(stack: Stack, workflow_id: str, reply, doc: dict) -> None:
    """History names the very record that closed the activity."""
    event = stack.worker.events(workflow_id, "ActivityTaskCompleted")[0]
    topic, partition, offset = reply.source
    equal("identity in history", event["identity"],
          f"handback/1/{stack.kafka.cluster_id}/{topic}/{partition}/{offset}/{doc['fingerprint']}")


@scenario("by-id")
def by_id(stack: Stack) -> None:
    """by workflow, run and activity id: completes; a failure without attempt is refused"""
    stack.bridge()
    workflow = new_id("by-id")
    run = stack.worker.start("Single", workflow, {
        "script": stack.script([
            {"target": "id", "reply": {"failure": {"reason": "Declined"}}},
            {"target": "id", "reply": {"result": "by its id"}},
        ]), "want": "string", "activity_id": "charge-17"})
    equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "by its id", "details": None})
    refused, applied = stack.replies_of(workflow, 2)
    target = {"domain": "live", "workflow_id": workflow, "run_id": run, "activity_id": "charge-17"}
    stack.books.check(refused, "rejected", "fail", by_id=target, reason="fail_by_id_without_attempt")
    stack.books.check(applied, "applied", "complete", by_id=target)
    stack.books.committed(GROUP, stack.main)


@scenario("duplicate")
def duplicate(stack: Stack) -> None:
    """the same reply twice: applied once, the second is told so"""
    stack.bridge()
    workflow = new_id("duplicate")
    step = {"reply": {"result": "once"}, "times": 2}
    stack.worker.start("Single", workflow, {"script": stack.script([step]), "want": "string"})
    equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "once", "details": None})
    token = stack.request_of(workflow).json["task_token"]
    first, second = stack.replies_of(workflow, 2)
    stack.books.check(first, "applied", "complete", token=token)
    stack.books.check(second, "duplicate", "complete", token=token, called=False)
    equal("completions in history", len(stack.worker.events(workflow, "ActivityTaskCompleted")), 1)
    stack.books.committed(GROUP, stack.main)
