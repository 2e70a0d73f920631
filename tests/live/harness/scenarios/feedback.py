"""Services that learn on the outcome topic that their work is no longer wanted (`docs/feedback.md`)."""

import time

from .. import examples
from ..books import equal, true
from ..paths import EXAMPLES, ROOT
from ..procs import Proc, wait_for
from ..stack import GROUP, Stack, both
from ..topics import Rec
from . import new_id, scenario

# Seconds between heartbeats, and for everything else on a busy machine: the call, the outcome, the way to the service.
BEAT = 2
SLACK = 1.5
# More work than the scenario lasts.
INPUT = {"seconds": 600, "numbers": [1]}


@scenario("feedback")
def feedback(stack: Stack) -> str:
    """a Python and a Node service stop when the workflow cancels or is terminated, which the outcome topic tells them"""
    _document()
    stack.bridge()
    services = {
        "python-feedback": lambda name: examples.approval(stack.kafka.brokers, stack.main, name, "--answer", "wait", "--beat", str(BEAT)),
        "node-feedback": lambda name: examples.node(stack.kafka.brokers, stack.main, name, "--beat", str(BEAT)),
    }
    said: list[str] = []
    both(*(lambda n=name, s=start: said.append(_follow(stack, n, s)) for name, start in services.items()))
    stack.books.committed(GROUP, stack.main)
    return "; ".join(sorted(said))


def _document() -> None:
    """What users copy is what runs here."""
    text = (ROOT / "docs" / "feedback.md").read_text()
    for file in (EXAMPLES / "python-approval" / "feedback.py", EXAMPLES / "node-service" / "feedback.js"):
        true(f"docs/feedback.md holds {file.name} as it is", file.read_text() in text)


def _follow(stack: Stack, name: str, start) -> str:
    taken_over = _told_before(stack, name)
    service = start(name)
    try:
        wait_for(f"{name} to read its topic", lambda: sum(stack.kafka.members(name).values()), 60, procs=(service,))
        _saw_cancel(stack, taken_over)
        equal("news of the one taken over", len(_news(stack, taken_over)), 1)
        told = _canceled(stack, name)
        put_down = _closed(stack, name, service)
        # It takes one request at a time: that it takes another shows that it has put the last one down.
        other = _start(stack, name, "next")
        first = _replies(stack, other)[0]
        true("nothing is said of the one put down", all(r.timestamp <= first.timestamp for r in _replies(stack, put_down)))
        stack.worker.terminate(other)
        return f"{name}: told {told:.1f} s after the cancellation, heartbeats every {BEAT} s"
    finally:
        service.stop(2)


def _start(stack: Stack, name: str, what: str, **more) -> str:
    """A workflow whose activity the service has begun to work at."""
    workflow = _ask(stack, name, what, **more)
    stack.tail.wait(f"a heartbeat of {workflow}", stack.main["replies"][0], lambda r: r.key == _key(workflow))
    return workflow


def _ask(stack: Stack, name: str, what: str, **more) -> str:
    workflow = new_id(f"{name}-{what}")
    script = {**stack.script(topics=_topics(stack, name)), "input": INPUT}
    stack.worker.start("Single", workflow, {"script": script, "heartbeat": 20, **more})
    return workflow


def _told_before(stack: Stack, name: str) -> str:
    """A workflow of whose cancellation another instance was told, which is gone: that is told once."""
    workflow = _ask(stack, name, "told", cancel_on_signal=True)
    request = stack.request_of(workflow, topics=_topics(stack, name))
    stack.worker.signal(workflow, "cancel")

    def told() -> bool:
        stack.sender.reply(request, action="heartbeat")
        return bool(_news(stack, workflow))

    wait_for(f"the cancellation of {workflow}", told, 15, every=0.3)
    return workflow


def _news(stack: Stack, workflow: str) -> list[Rec]:
    return [r for r in stack.tail.all(stack.main["outcomes"])
            if (o := r.json)["action"] == "heartbeat" and o["cancel_requested"] and o["activity"]["workflow_id"] == workflow]


def _saw_cancel(stack: Stack, workflow: str) -> None:
    report = stack.worker.result(workflow, timeout=30)
    equal("what the workflow saw", (report["kind"], report["details"]), ("canceled", {"by": "feedback"}))


def _topics(stack: Stack, name: str) -> dict:
    return {**stack.main, "requests": examples.requests(name)}


def _key(workflow: str) -> bytes:
    return f"live/{workflow}".encode()


def _replies(stack: Stack, workflow: str) -> list[Rec]:
    return [r for r in stack.tail.all(stack.main["replies"][0]) if r.key == _key(workflow)]


def _outcome(stack: Stack, workflow: str, want) -> Rec:
    return stack.tail.wait(f"news of {workflow}", stack.main["outcomes"],
                           lambda r: (r.json["activity"] or {}).get("workflow_id") == workflow and want(r.json))[0]


def _canceled(stack: Stack, name: str) -> float:
    """The workflow wants its activity to stop: told within a heartbeat, answered within another. Returns when it was told."""
    workflow = _start(stack, name, "canceled", cancel_on_signal=True)
    asked = time.time()
    stack.worker.signal(workflow, "cancel")
    news = _outcome(stack, workflow, lambda o: o["action"] == "heartbeat" and o["cancel_requested"])
    told = news.timestamp / 1000 - asked
    true(f"{name} is told within its heartbeats", told <= BEAT + SLACK, told)
    _saw_cancel(stack, workflow)
    last = stack.tail.wait(f"the cancel reply of {workflow}", stack.main["replies"][0],
                           lambda r: r.key == _key(workflow) and r.json["action"] == "cancel")[0]
    equal("its last word", _replies(stack, workflow)[-1].source, last.source)
    true(f"{name} answers at once", (last.timestamp - news.timestamp) / 1000 <= SLACK, (last.timestamp, news.timestamp))
    token = stack.request_of(workflow, topics=_topics(stack, name)).json["task_token"]
    stack.books.check(last, "applied", "cancel", token=token)
    return told


def _closed(stack: Stack, name: str, service: Proc) -> str:
    """The workflow is gone, and the activity with it: told at the next heartbeat, and nothing is answered."""
    workflow = _start(stack, name, "closed")
    stack.worker.terminate(workflow)
    news = _outcome(stack, workflow, lambda o: o["action"] == "heartbeat" and o["outcome"] == "workflow_closed")
    equal("no dead letter of a heartbeat", [r for r in stack.tail.all(stack.main["dead_letters"]) if r.key == _key(workflow)], [])
    wait_for(f"{name} to stop", lambda: "no longer wanted: workflow_closed" in service.log.read_text(), 10, procs=(service,))
    true(f"{name} answers nothing", all(r.json["action"] == "heartbeat" for r in _replies(stack, workflow)))
    return workflow
