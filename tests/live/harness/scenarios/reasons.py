"""Why a reply came to nothing, and what is looked at before an answer: each as the real server shows it."""

import json
import uuid
from functools import partial

from ..books import equal, true
from ..bridge import Bridge
from ..cadence import DOMAIN
from ..stack import GROUP, Stack
from ..topics import Rec
from . import new_id, scenario

LOOKS_GROUP = "handback-looks"


def _sent(stack: Stack, source: tuple) -> Rec:
    return stack.tail.wait("the reply", source[0], lambda r: r.source == source)[0]


def _by_token(stack: Stack, request: Rec, **answer) -> Rec:
    return _sent(stack, stack.sender.reply(request, **answer))


def _by_id(stack: Stack, request: Rec, attempt: int | None, run_id: str | None = None, **answer) -> Rec:
    said = request.json["activity"]
    activity = {name: said[name] for name in ("domain", "workflow_id", "run_id", "activity_id")}
    if attempt is not None:
        activity["attempt"] = attempt
    if run_id is not None:
        activity["run_id"] = run_id
    body = json.dumps({"activity": activity, **answer}).encode()
    return _sent(stack, stack.sender.send(request.json["reply_to"], body, request.key))


@scenario("reasons", own_bridge=True)
def reasons(stack: Stack) -> None:
    """without a ledger, by looks alone: last failure, superseded, duplicate, conflict, unknown; by token and by id with attempt"""
    bridge = Bridge("handback-looks", LOOKS_GROUP, stack.cadence, stack.kafka.brokers, stack.looks,
                    {"ledger": {"enabled": False}, "lookup": {"wait": "6s"}, "retry": {"spent": "1s"}})
    try:
        bridge.wait_ready()
        _reasons(stack)
        bridge.drain()
    finally:
        bridge.proc.stop(1)


def _reasons(stack: Stack) -> None:
    workflow = new_id("reasons")
    topics = stack.looks
    stack.worker.start("Single", workflow, {"script": stack.script([], topics=topics), "want": "string", "max_attempts": 3,
                                            "retry_interval": 3, "linger_until_signal": True})
    request = stack.request_of(workflow, topics=topics)
    token = request.json["task_token"]
    busy = {"failure": {"reason": "Busy", "details": {"try": 1}}}
    check = partial(stack.books.check, topics=topics)
    check(_by_token(stack, request, **busy), "applied", "fail", token=token)
    check(_by_token(stack, request, **busy), "applied", "fail", token=token, evidence="last_failure")
    repeated = _by_id(stack, request, 0, **busy)
    check(repeated, "applied", "fail", token=None, by_id=_names(request, 0), evidence="last_failure", called=False)
    other = check(_by_token(stack, request, failure={"reason": "Other"}), "superseded", "fail", token=token)
    true("what ended the attempt is told", "failed otherwise" in other["detail"], other)

    # The attempt after the one that pauses now: the reply waits for it.
    early = _by_id(stack, request, 1, result="by its attempt")
    later = stack.request_of(workflow, attempt=1, topics=topics)
    doc = check(early, "applied", "complete", token=later.json["task_token"])
    equal("attempt in the outcome", doc["activity"]["attempt"], 1)
    equal("what the workflow saw", stack.worker.report(workflow),
          {"kind": "value", "value": "by its attempt", "details": None})
    for end in ("open", "over"):
        check(_by_token(stack, later, result="by its attempt"), "duplicate", "complete", token=later.json["task_token"])
        conflict = check(_by_token(stack, later, result="too late"), "conflict", "complete", token=later.json["task_token"])
        true("the one that won is named", early.source[0] in conflict["detail"], conflict)
        check(_by_token(stack, request, result="too late"), "superseded", "complete", token=token)
        check(_by_id(stack, request, 0, result="too late"), "superseded", "complete", by_id=_names(request, 0), called=False)
        if end == "open":
            stack.worker.signal(workflow, "finish")
            stack.worker.result(workflow)
    elsewhere = str(uuid.uuid4())
    check(_by_id(stack, request, None, run_id=elsewhere, result=1), "unknown", "complete",
          by_id={**_names(request, None), "run_id": elsewhere})
    equal("completions in history", len(stack.worker.events(workflow, "ActivityTaskCompleted")), 1)
    equal("failures in history", stack.worker.events(workflow, "ActivityTaskFailed"), [])
    stack.books.committed(LOOKS_GROUP, topics)


def _names(request: Rec, attempt: int | None) -> dict:
    said = request.json["activity"]
    names = {"domain": DOMAIN, **{name: said[name] for name in ("workflow_id", "run_id", "activity_id")}}
    return names if attempt is None else {**names, "attempt": attempt}


@scenario("repeats")
def repeats(stack: Stack) -> None:
    """what the ledger knows is told without a call: duplicate, conflict, also of a failed attempt"""
    stack.bridge()
    workflow = new_id("repeats")
    stack.worker.start("Single", workflow, {"script": stack.script([]), "want": "string", "max_attempts": 2, "retry_interval": 1})
    first = stack.request_of(workflow)
    token = first.json["task_token"]
    busy = {"failure": {"reason": "Busy"}}
    check = stack.books.check
    check(_by_token(stack, first, **busy), "applied", "fail", token=token)
    check(_by_token(stack, first, **busy), "duplicate", "fail", token=token, called=False)
    check(_by_token(stack, first, result="after all"), "conflict", "complete", token=token, called=False)
    second = stack.request_of(workflow, attempt=1)
    check(_by_token(stack, second, result="done"), "applied", "complete", token=second.json["task_token"])
    equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "done", "details": None})
    doc = check(_by_token(stack, second, result="other"), "conflict", "complete", token=second.json["task_token"], called=False)
    true("both fingerprints are told", doc["fingerprint"] in doc["detail"] and doc["detail"].count("fingerprint") == 1, doc)
    stack.books.committed(GROUP, stack.main)


@scenario("superseded", timers=True)
def superseded(stack: Stack) -> None:
    """late reply to an attempt that timed out and was retried: superseded, and why"""
    stack.bridge()
    workflow = new_id("superseded")
    stack.worker.start("Single", workflow, {"script": stack.script([]), "want": "string", "start_to_close": 2,
                                            "max_attempts": 2, "retry_interval": 1})
    first = stack.request_of(workflow)
    second = stack.request_of(workflow, attempt=1)
    doc = stack.books.check(_by_token(stack, first, result="late"), "superseded", "complete", token=first.json["task_token"])
    true("the timeout is named", "START_TO_CLOSE" in doc["detail"], doc)
    stack.worker.result(workflow)
    stack.books.check(_by_token(stack, second, result="late"), "timed_out", "complete", token=second.json["task_token"])
    stack.books.check(_by_token(stack, first, result="late"), "superseded", "complete", token=first.json["task_token"])
    stack.books.committed(GROUP, stack.main)


@scenario("cancel-unasked")
def cancel_unasked(stack: Stack) -> None:
    """a cancel that the workflow has not asked for is never sent, waits, and is refused; a result still completes"""
    stack.bridge()
    workflow = new_id("cancel-unasked")
    stack.worker.start("Single", workflow, {"script": stack.script([]), "want": "string"})
    request = stack.request_of(workflow)
    token = request.json["task_token"]
    stack.books.check(_by_token(stack, request, action="cancel"), "rejected", "cancel", token=token,
                      reason="cancel_not_requested")
    stack.books.check(_by_token(stack, request, result="done"), "applied", "complete", token=token)
    equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "done", "details": None})
    stack.books.check(_by_token(stack, request, action="cancel"), "conflict", "cancel", token=token, called=False)
    stack.books.committed(GROUP, stack.main)


@scenario("retry-topics")
def retry_topics(stack: Stack) -> None:
    """early and unknown replies leave for retry topics, and are settled from there, also by another process; never begun: exhausted"""
    stack.bridge()
    idle = new_id("retry-topics-idle")
    stack.worker.start("Single", idle, {"script": stack.script([]), "want": "string"})
    waiting = stack.request_of(idle)
    never = _by_id(stack, waiting, 3, result="never")
    workflow = new_id("retry-topics")
    stack.worker.start("Single", workflow, {"script": stack.script([]), "want": "string", "max_attempts": 2, "retry_interval": 8})
    request = stack.request_of(workflow)
    _by_token(stack, request, failure={"reason": "Busy"})
    # The second attempt begins after 8 s: longer than the reply waits in place, and than the first tier's 2 s.
    early = _by_id(stack, request, 1, result="from a retry topic")
    moved = [_moved(stack, early, tier) for tier in (0, 1)]
    equal("value on the retry topic", moved[1].value, early.value)
    equal("attempts", [r.header("handback-attempts") for r in moved], [b"0", b"0"])
    equal("first seen", moved[0].header("handback-first-seen"), moved[1].header("handback-first-seen"))
    stack.bridge().drain()
    stack.bridge()
    second = stack.request_of(workflow, attempt=1)
    doc = stack.books.check(early, "applied", "complete", token=second.json["task_token"])
    equal("when it was first in hand", doc["received_at"].encode(), moved[0].header("handback-first-seen"))
    equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "from a retry topic", "details": None})
    nowhere = str(uuid.uuid4())
    unknown = _by_id(stack, request, None, run_id=nowhere, result=1)
    doc = stack.books.check(unknown, "unknown", "complete", by_id={**_names(request, None), "run_id": nowhere})
    equal("calls of three stays", doc["attempts"], 3)
    equal("tiers", [_moved(stack, unknown, tier).header("handback-attempts") for tier in (0, 1)], [b"1", b"2"])
    stack.books.check(never, "exhausted", "complete", by_id=_names(waiting, 3), called=False)
    stack.books.check(_by_token(stack, waiting, result="now"), "applied", "complete", token=waiting.json["task_token"])
    stack.books.committed(GROUP, stack.main)


def _moved(stack: Stack, reply: Rec, tier: int) -> Rec:
    """A reply as it stands on a retry topic."""
    topic = stack.main["retry"][tier]
    return stack.tail.wait(f"{reply.source} on {topic}", topic, lambda r: _origin(r) == reply.source)[0]


def _origin(moved: Rec) -> tuple:
    topic, partition, offset = (moved.header(f"handback-source-{name}") for name in ("topic", "partition", "offset"))
    return topic.decode(), int(partition), int(offset)
