"""The request side: activities of a task list that no worker polls, published by `handback dispatch`."""

import base64
from collections import Counter

from ..books import equal, time_of, true
from ..bridge import Bridge
from ..cadence import DOMAIN
from ..procs import wait_for
from ..proxy import Way
from ..stack import GROUP, Stack
from ..topics import Rec
from . import new_id, scenario

TASK_LIST = "kafka-activities"
# More than any float holds: whoever reads and writes numbers on the way is found out.
LARGE = 123456789012345678901234567890


class Dispatcher(Bridge):
    """`handback dispatch`, without a consumer group."""

    def __init__(self, name: str, stack: Stack, brokers: str, more: dict[str, dict] | None = None, topics: dict | None = None,
                 activity_type: str = "ChargeCard", task_list: str = TASK_LIST) -> None:
        settings = {"dispatch": {"routes": [{"domain": DOMAIN, "task_list": task_list, "activity_type": activity_type}]}}
        super().__init__(name, "", stack.cadence, brokers, topics or stack.main, settings | (more or {}), "dispatch")

    def counted(self, result: str) -> float:
        return self.metric(rf'handback_dispatch_tasks_total\{{result="{result}"')


def _case(stack: Stack, answer, **more) -> dict:
    script = stack.script([{"reply": {"result": answer}}])
    return {"script": script, "task_list": TASK_LIST, "activity_type": "ChargeCard", "want": "string", **more}


def _seen(answer: str) -> dict:
    return {"kind": "value", "value": answer, "details": None}


def _requests(stack: Stack, workflow_id: str) -> list[Rec]:
    return [r for r in stack.tail.all(stack.main["requests"]) if r.json["activity"]["workflow_id"] == workflow_id]


def _all_requests(stack: Stack) -> list[Rec]:
    """Every request, to the end that the broker names."""
    topic = stack.main["requests"]
    return stack.tail.wait("its end", topic, lambda r: True, count=sum(stack.kafka.ends(topic).values()))


@scenario("dispatch", own_bridge=True)
def dispatch(stack: Stack) -> None:
    """activities of a task list that no worker polls: published as the contract says, answered; without a route failed with a reason"""
    stack.bridge()
    dispatcher = Dispatcher("dispatch", stack, stack.kafka.brokers)
    try:
        dispatcher.wait_ready()
        workflow = _published(stack)
        refunds = _without_route(stack)
        asked = Counter(request.json["activity"]["workflow_id"] for request in _all_requests(stack))
        equal("requests", [asked[workflow], *(asked[refund] for refund in refunds)], [1, 0, 0, 0])
        equal("requests published", dispatcher.counted("published"), 1)
        equal("attempts failed for want of a route", dispatcher.counted("no_route"), 4)
        dispatcher.drain()
    finally:
        dispatcher.proc.stop(1)


def _published(stack: Stack) -> str:
    workflow = new_id("dispatched")
    case = _case(stack, "charged", more=[{"amount": LARGE}, "grün"], start_to_close=90, heartbeat=30)
    run_id = stack.worker.start("Single", workflow, case)
    equal("what the workflow saw", stack.worker.result(workflow), _seen("charged"))
    request = stack.request_of(workflow)
    doc = request.json
    token = base64.b64decode(doc["task_token"])
    equal("key", request.key, f"{DOMAIN}/{workflow}".encode())
    equal("correlation id", request.header("kafka_correlationId"), token)
    equal("reply topic", (doc["reply_to"], request.header("kafka_replyTopic")), (stack.main["replies"][0], stack.main["replies"][0].encode()))
    equal("arguments", doc["input"], [case["script"], *case["more"]])
    true("numbers are passed on as they were written", b'{"amount":%d}' % LARGE in request.value, request.value)
    equal("activity", {k: v for k, v in doc["activity"].items() if k != "activity_id"},
          {"domain": DOMAIN, "workflow_id": workflow, "run_id": run_id, "attempt": 0, "activity_type": "ChargeCard", "workflow_type": "Single"})
    equal("request key", doc["request_key"], "/".join((DOMAIN, workflow, run_id, doc["activity"]["activity_id"])))
    equal("heartbeat timeout", doc["heartbeat_timeout_seconds"], 30)
    allowed = (time_of(doc["deadline"]) - time_of(doc["scheduled_at"])).total_seconds()
    true("the deadline is start-to-close after the start", 90 <= allowed < 100, doc)
    stack.books.check(stack.replies_of(workflow, 1)[0], "applied", "complete", token=doc["task_token"])
    stack.books.committed(GROUP, stack.main)
    return workflow


def _without_route(stack: Stack) -> list[str]:
    """Refunds have no route: at once the end without a policy or with the reason on its list, tried again otherwise."""
    policies = {"bare": ({}, 0), "listed": ({"max_attempts": 5, "non_retriable": "handback.NoRoute"}, 0), "tried": ({"max_attempts": 2}, 1)}
    ids = {name: new_id(f"no-route-{name}") for name in policies}
    for name, (policy, _) in policies.items():
        stack.worker.start("Single", ids[name], _case(stack, "never", **policy) | {"activity_type": "Refund"})
    for name, (_, attempt) in policies.items():
        seen = stack.worker.result(ids[name])
        equal(f"{name}: what the workflow saw", (seen["kind"], seen["reason"]), ("custom", "handback.NoRoute"))
        true(f"{name}: the details name the type and the setting", "Refund" in seen["details"] and "dispatch.routes" in seen["details"], seen)
        equal(f"{name}: attempt in history", stack.worker.events(ids[name], "ActivityTaskStarted")[0].get("attempt", 0), attempt)
    return list(ids.values())


@scenario("dispatch-broker-down", own_bridge=True)
def dispatch_broker_down(stack: Stack) -> str:
    """the broker away from dispatch alone: what was polled waits; attempts that cannot wait fail before their deadline; nothing is lost"""
    stack.bridge()
    proxy = stack.kafka.proxy
    properties = {"delivery.timeout.ms": "1000", "reconnect.backoff.max.ms": "300"}
    dispatcher = Dispatcher("dispatch-broker-down", stack, proxy.address, {"kafka.properties": properties})
    try:
        dispatcher.wait_ready()
        waited = _round(stack, dispatcher, Way.CUT, 20, {"start_to_close": 60, "heartbeat": 3}, _until_heartbeats)
        failed = _round(stack, dispatcher, Way.FROZEN, 10, {"start_to_close": 5, "max_attempts": 50}, _until_failed)
        muted = _round(stack, dispatcher, Way.MUTE, 10, {"start_to_close": 60}, _until_written)
        equal("attempts of those that could wait", (max(waited), max(muted)), (0, 0))
        true("later attempts of those that could not", min(failed) >= 1, failed)
        true("as many attempts failed as were not published", dispatcher.counted("not_published") >= 10)
        equal("attempts left to their timeouts", dispatcher.counted("left"), 0)
        dispatcher.drain()
    finally:
        proxy.be(Way.OPEN)
        dispatcher.proc.stop(1)
    requests = [doc for r in _all_requests(stack) if (doc := r.json)["activity"]["workflow_id"].startswith("down-")]
    tokens = Counter(request["task_token"] for request in requests)
    # A request may be there twice; then each time with the same token, and each attempt has one token.
    attempts = {(request["request_key"], request["activity"]["attempt"]) for request in requests}
    equal("tokens, one for each attempt that was published", len(tokens), len(attempts))
    equal("request keys, one for each activity", len({request["request_key"] for request in requests}), 40)
    return f"40 activities, {len(attempts)} attempts published by {len(requests)} requests"


def _round(stack: Stack, dispatcher: Dispatcher, way: Way, count: int, limits: dict, until) -> list[int]:
    """One outage while activities are polled for. Returns the attempt of each that the workflow's result came from."""
    ids = [new_id(f"down-{way.value}") for _ in range(count)]
    stack.kafka.proxy.be(way)
    try:
        for workflow in ids:
            stack.worker.start("Single", workflow, _case(stack, workflow, **limits))
        until(stack, dispatcher, ids)
    finally:
        stack.kafka.proxy.be(Way.OPEN)
    attempts = []
    for workflow in ids:
        equal(f"what {workflow} saw", stack.worker.result(workflow), _seen(workflow))
        done = stack.worker.events(workflow, "ActivityTaskCompleted")
        equal(f"completions of {workflow}", len(done), 1)
        started = stack.worker.events(workflow, "ActivityTaskStarted")[0]
        attempts.append(started.get("attempt", 0))
        true(f"{workflow} never timed out", "Timeout" not in str(started.get("lastFailureReason")), started)
    dispatcher.wait_ready()
    return attempts


def _until_heartbeats(stack: Stack, dispatcher: Dispatcher, ids: list[str]) -> None:
    """Until all are in hand, for longer than their heartbeat timeout, and /readyz says so."""
    def all_beaten() -> bool:
        beats = dispatcher.metric(r'handback_engine_calls_total\{.*method="RecordActivityTaskHeartbeat"')
        return dispatcher.metric("handback_dispatch_in_hand") == len(ids) and beats >= 4 * len(ids)
    wait_for("heartbeats for activities whose request waits", all_beaten, 20, procs=(dispatcher.proc,))
    wait_for("the reason on /readyz", lambda: "requests cannot be written" in dispatcher.get("/readyz")[1], 20, procs=(dispatcher.proc,))
    equal("requests meanwhile", [r for workflow in ids for r in _requests(stack, workflow)], [])


def _until_failed(stack: Stack, dispatcher: Dispatcher, ids: list[str]) -> None:
    """Until the first attempt of each has failed: by us, before its timeout."""
    for workflow in ids:
        def pending(workflow=workflow) -> dict | None:
            found = stack.worker.describe(workflow).get("pendingActivities") or [{}]
            return found[0] if found[0].get("attempt", 0) >= 1 else None
        equal(f"why the first attempt of {workflow} failed", wait_for(f"a second attempt of {workflow}", pending, 20)["lastFailureReason"],
              "handback.NotPublished")


def _until_written(stack: Stack, dispatcher: Dispatcher, ids: list[str]) -> None:
    """Until requests are there whose acknowledgements were lost, and are written again."""
    def written() -> int:
        return sum(bool(_requests(stack, workflow)) for workflow in ids)
    retries = dispatcher.metric("handback_dispatch_produce_retries_total")
    wait_for("requests whose acknowledgement is lost", written, 20, procs=(dispatcher.proc,))
    # Given up by the client, and so written again once it can.
    wait_for("writes that are tried again", lambda: dispatcher.metric("handback_dispatch_produce_retries_total") > retries, 20)
    true("nobody was told", dispatcher.metric("handback_dispatch_in_hand") >= written() > 0)
