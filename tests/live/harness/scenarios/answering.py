"""The small services of `examples/`, as the workflow sees their answers."""

from .. import examples
from ..books import equal, true
from ..cadence import DOMAIN
from ..procs import Proc, wait_for
from ..stack import GROUP, Stack, both
from . import new_id, scenario


@scenario("examples")
def services(stack: Stack) -> None:
    """the Python, Node and Rust examples answer with a result and a failure each; the Go example asks"""
    stack.bridge()
    both(lambda: _approval(stack, "approve", "yes", {"kind": "value", "value": {"approved": True}, "details": None}),
         lambda: _approval(stack, "refuse", "no", {"kind": "custom", "reason": "Refused", "message": "Refused",
                                                    "details": {"asked": [{"amount": 7}]}}),
         lambda: _node(stack), lambda: _rust(stack), lambda: _go_asks(stack))
    stack.books.committed(GROUP, stack.main)


def _approval(stack: Stack, name: str, answer: str, seen: dict) -> None:
    service = examples.approval(stack.kafka.brokers, stack.main, name, "--answer", answer)
    try:
        _ready(stack, name, service)
        _see(stack, name, {"amount": 7}, seen)
    finally:
        service.stop(2)


def _node(stack: Stack) -> None:
    name = "node-service"
    service = examples.node(stack.kafka.brokers, stack.main, name)
    try:
        _ready(stack, name, service)
        _see(stack, name, {"seconds": 1, "numbers": [20, 22]}, {"kind": "value", "value": {"sum": 42}, "details": None})
        _see(stack, name, {"seconds": 0}, {"kind": "custom", "reason": "NothingToAdd", "message": "NothingToAdd",
                                          "details": {"input": [{"seconds": 0}]}})
    finally:
        service.stop(2)


def _rust(stack: Stack) -> None:
    name = "rust-service"
    service = examples.rust(stack.kafka.brokers, examples.requests(name))
    try:
        _ready(stack, name, service)
        _see(stack, name, "Ada", {"kind": "value", "value": "Hello, Ada!", "details": None})
        _see(stack, name, 7, {"kind": "custom", "reason": "BadArguments", "message": "BadArguments", "details": None})
    finally:
        service.stop(2)


def _go_asks(stack: Stack) -> None:
    """The workflow is the example's own, on a task list of its own; the Python service answers."""
    name = "go-worker"
    service = examples.approval(stack.kafka.brokers, stack.main, name, "--answer", "yes")
    try:
        workflow = new_id(name)
        asking = examples.go_worker(stack.cadence.address, DOMAIN, stack.kafka.brokers, stack.main, name, workflow)
        equal("exit code of the Go example", asking.wait(60), 0)
        true("it prints the result", f'{workflow}: {{"approved":true}}' in asking.log.read_text(), asking.log)
        _books(stack, name, workflow, "complete")
    finally:
        service.stop(2)


def _ready(stack: Stack, name: str, service: Proc) -> None:
    wait_for(f"{name} to read its topic", lambda: sum(stack.kafka.members(name).values()), 60, procs=(service,))


def _see(stack: Stack, name: str, order: object, seen: dict) -> None:
    workflow = new_id(name)
    topics = _topics(stack, name)
    stack.worker.start("Single", workflow, {"script": {**stack.script(topics=topics), "input": order}, "want": "any", "start_to_close": 60})
    equal(f"{name}: what the workflow saw", stack.worker.result(workflow), seen)
    _books(stack, name, workflow, "complete" if seen["kind"] == "value" else "fail")


def _books(stack: Stack, name: str, workflow: str, action: str) -> None:
    """One answer, applied."""
    request = stack.request_of(workflow, topics=_topics(stack, name))
    replies = stack.tail.wait(f"the answer for {workflow}", stack.main["replies"][0],
                              lambda r: r.key == request.key and r.json.get("action") != "heartbeat")
    equal(f"{name}: answers", len(replies), 1)
    stack.books.check(replies[0], "applied", action, token=request.json["task_token"])


def _topics(stack: Stack, name: str) -> dict:
    return {**stack.main, "requests": examples.requests(name)}
