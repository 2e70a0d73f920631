"""Answers that come when nobody waits for them any more."""

from ..books import equal, true
from ..procs import wait_for
from ..stack import GROUP, Stack
from ..topics import Rec
from . import new_id, scenario


def _reply_late(stack: Stack, request: Rec, why: str, detail: str) -> None:
    """Answers a request and sees why the engine no longer knows it."""
    source = stack.sender.reply(request, result="too late")
    late = stack.tail.wait("the late reply", source[0], lambda r: r.source == source)[0]
    doc = stack.books.check(late, why, "complete", token=request.json["task_token"])
    true(f"the detail names {detail}", detail in doc["detail"], doc["detail"])
    stack.books.committed(GROUP, stack.main)


@scenario("late-open")
def late_open(stack: Stack) -> None:
    """late reply after a timeout, in a workflow that is still open"""
    stack.bridge()
    workflow = new_id("late-open")
    stack.worker.start("Single", workflow, {"script": stack.script([]), "want": "string", "start_to_close": 2,
                                            "linger_until_signal": True})
    request = stack.request_of(workflow)
    report = stack.worker.report(workflow)
    equal("what the workflow saw", (report["kind"], report["reason"]), ("timeout", "START_TO_CLOSE"))
    _reply_late(stack, request, "timed_out", "START_TO_CLOSE")
    stack.worker.signal(workflow, "finish")
    equal("what it returned in the end", stack.worker.result(workflow), report)


@scenario("late-closed")
def late_closed(stack: Stack) -> None:
    """late reply after a timeout, in a workflow that has ended"""
    stack.bridge()
    workflow = new_id("late-closed")
    stack.worker.start("Single", workflow, {"script": stack.script([]), "want": "string", "start_to_close": 2})
    request = stack.request_of(workflow)
    report = stack.worker.result(workflow)
    equal("what the workflow saw", (report["kind"], report["reason"]), ("timeout", "START_TO_CLOSE"))
    _reply_late(stack, request, "timed_out", "START_TO_CLOSE")


@scenario("closed")
def closed(stack: Stack) -> None:
    """reply after the workflow was terminated while the activity was open"""
    stack.bridge()
    workflow = new_id("closed")
    stack.worker.start("Single", workflow, {"script": stack.script([]), "want": "string"})
    request = stack.request_of(workflow)
    stack.worker.terminate(workflow)
    wait_for("the end of the workflow", lambda: stack.worker.events(workflow, "WorkflowExecutionTerminated"), 30)
    _reply_late(stack, request, "workflow_closed", "terminated")
