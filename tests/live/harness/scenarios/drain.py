"""The end of a bridge: asked to stop, it finishes what is in hand and leaves nothing behind."""

from ..books import equal
from ..stack import GROUP, Stack
from . import new_id, scenario


@scenario("drain")
def drain(stack: Stack) -> None:
    """SIGTERM: exit code 0, group left, books complete for every reply of this run, no token in the log"""
    bridge = stack.bridge()
    workflow = new_id("drain")
    stack.worker.start("Single", workflow, {"script": stack.script([{"reply": {"result": "last"}}]), "want": "string"})
    equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "last", "details": None})
    bridge.drain()
    equal("members left in the group", stack.kafka.members(GROUP), {})
    stack.books.complete(GROUP, stack.main)
