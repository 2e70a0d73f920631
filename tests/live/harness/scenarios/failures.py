"""Failures: as errors.As in Go workflow code sees them, and as the server retries them."""

from ..books import equal, true
from ..stack import GROUP, Stack
from . import new_id, scenario

_CASES = {
    "custom": ({"reason": "CardDeclined", "details": {"code": 51, "hint": "grün"}, "message": "no cover"},
               {"kind": "custom", "reason": "CardDeclined", "message": "CardDeclined", "details": {"code": 51, "hint": "grün"}}),
    "custom-bare": ({"reason": "CardDeclined"},
                    {"kind": "custom", "reason": "CardDeclined", "message": "CardDeclined", "details": None}),
    "generic": ({"style": "generic", "message": 'no "cover" left: grün'},
                {"kind": "generic", "message": 'no "cover" left: grün', "details": None}),
}


@scenario("failures")
def failures(stack: Stack) -> None:
    """fail with a custom error (details, none) and a generic error, seen by errors.As"""
    stack.bridge()
    ids = {}
    for name, (failure, _) in _CASES.items():
        ids[name] = new_id(f"fail-{name}")
        stack.worker.start("Single", ids[name], {"script": stack.script([{"reply": {"failure": failure}}])})
    for name, (_, seen) in _CASES.items():
        equal(f"{name}: what the workflow saw", stack.worker.result(ids[name]), seen)
        token = stack.request_of(ids[name]).json["task_token"]
        stack.books.check(stack.replies_of(ids[name], 1)[0], "applied", "fail", token=token)
    stack.books.committed(GROUP, stack.main)


@scenario("retry")
def retry(stack: Stack) -> None:
    """a retryable failure is retried by the server with a new token; a non-retriable reason is not"""
    stack.bridge()
    fails = [{"reply": {"failure": {"reason": "Busy", "details": {"try": "again"}}}}]
    retried, refused = new_id("retried"), new_id("not-retried")
    stack.worker.start("Single", retried, {"script": stack.script(fails, fails, [{"reply": {"result": "third time"}}]),
                                           "want": "string", "max_attempts": 5})
    stack.worker.start("Single", refused, {"script": stack.script(fails, [{"reply": {"result": "must not come"}}]),
                                           "want": "string", "max_attempts": 5, "non_retriable": "Busy"})
    equal("retried: what the workflow saw", stack.worker.result(retried),
          {"kind": "value", "value": "third time", "details": None})
    for attempt, (reply, action) in enumerate(zip(stack.replies_of(retried, 3), ("fail", "fail", "complete"), strict=True)):
        token = stack.request_of(retried, attempt).json["task_token"]
        doc = stack.books.check(reply, "applied", action, token=token)
        equal("attempt in the outcome", doc["activity"]["attempt"], attempt)
    started = stack.worker.events(retried, "ActivityTaskStarted")[0]
    equal("attempt in history", started["attempt"], 2)
    true("history keeps the last failure's reason", started.get("lastFailureReason") == "Busy", started)

    seen = {"kind": "custom", "reason": "Busy", "message": "Busy", "details": {"try": "again"}}
    equal("not retried: what the workflow saw", stack.worker.result(refused), seen)
    token = stack.request_of(refused).json["task_token"]
    stack.books.check(stack.replies_of(refused, 1)[0], "applied", "fail", token=token)
    stack.books.committed(GROUP, stack.main)
