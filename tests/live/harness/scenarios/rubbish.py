"""Records that are no replies: refused with a reason, kept byte for byte, and in nobody's way."""

import base64
import json

from ..books import equal, true
from ..stack import GROUP, Stack
from . import new_id, scenario


def _envelope(**fields) -> bytes:
    return json.dumps(fields).encode()


def _records(token: str) -> dict[str, tuple[bytes | None, str]]:
    """Value and reason code, by name. `token` is of an activity that is open: nothing here may touch it."""
    raw = json.loads(base64.b64decode(token))

    def forged(**claims) -> str:
        return base64.b64encode(json.dumps({**raw, **claims}).encode()).decode()

    return {
        "text": (b"hello \xe2\x98\x83", "bad_json"),
        "binary": (bytes(range(256)), "bad_utf8"),
        "tombstone": (None, "tombstone"),
        "empty": (b"", "empty_value"),
        "array": (b"[1,2]", "bad_json"),
        "nested": (b"[" * 500_000, "bad_json"),
        "no target": (_envelope(result=1), "no_target"),
        "unknown field": (_envelope(task_token=token, result=1, resutl=2), "unknown_field"),
        "twice": (b'{"task_token":"%s","result":1,"result":2}' % token.encode(), "duplicate_field"),
        "nothing to do": (_envelope(task_token=token), "missing_field"),
        "bad base64": (_envelope(task_token="%%%", result=1), "bad_base64"),
        "token is text": (_envelope(task_token=base64.b64encode(b"garbage").decode(), result=1), "bad_token"),
        "token of no run": (_envelope(task_token=forged(runId="zzz"), result=1), "bad_token"),
        "token by id": (_envelope(task_token=forged(scheduleId=-23), result=1), "bad_token"),
        "no reason": (_envelope(task_token=token, failure={"details": 1}), "missing_reason"),
        "reserved": (_envelope(task_token=token, failure={"reason": "cadenceInternal:Timeout BOGUS"}), "reserved_reason"),
        "contradiction": (_envelope(task_token=token, action="complete", failure={"reason": "x"}), "contradiction"),
    }


@scenario("rubbish")
def rubbish(stack: Stack) -> None:
    """rubbish of every kind becomes dead letters with exact bytes and headers, and blocks nobody"""
    stack.bridge()
    workflow = new_id("rubbish")
    stack.worker.start("Single", workflow, {"script": stack.script([]), "want": "string"})
    request = stack.request_of(workflow)
    token = request.json["task_token"]
    sent = {}
    for name, (value, reason) in _records(token).items():
        # A header twice, one without a value, one that is not text, and forged ones that only handback may write.
        headers = [("trace", b"1"), ("trace", b"2"), ("nothing", None), ("binary", b"\x00\xff"),
                   ("handback-source-topic", b"forged"), ("handback-dlq-reason", b"forged"), ("handback-attempts", b"99")]
        source = stack.sender.send(stack.main["replies"][0], value, key=b"rubbish \xff", headers=headers, partition=1)
        sent[name] = (source, reason)
    for name, (source, reason) in sent.items():
        try:
            _check(stack, source, reason)
        except AssertionError as fault:
            raise AssertionError(f"{name}: {fault}") from None
    equal("the open activity was left alone", stack.worker.events(workflow, "ActivityTaskCompleted"), [])
    source = stack.sender.reply(request, result="still here")
    equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "still here", "details": None})
    answer = stack.tail.wait("the answer", source[0], lambda r: r.source == source)[0]
    stack.books.check(answer, "applied", "complete", token=token)
    stack.books.committed(GROUP, stack.main)


def _check(stack: Stack, source: tuple, reason: str) -> None:
    reply = stack.tail.wait("the rubbish", source[0], lambda r: r.source == source)[0]
    doc = stack.books.outcome(reply).json
    equal(f"reason ({doc['detail']})", doc["reason"], reason)
    letter = stack.tail.wait(f"the dead letter of {source}", stack.main["dead_letters"],
                             lambda r: dict(r.headers).get("handback-source-offset") == str(source[2]).encode()
                             and r.partition == source[1])[0]
    equal("value", letter.value, reply.value)
    equal("key", letter.key, reply.key)
    equal("headers as received", letter.headers[:len(reply.headers)], reply.headers)
    last = dict(letter.headers)
    said = {name: last[f"handback-{name}"] for name in ("source-topic", "source-partition", "source-offset", "dlq-outcome",
                                                        "dlq-reason")}
    equal("what the headers say", said, {
        "source-topic": source[0].encode(), "source-partition": str(source[1]).encode(),
        "source-offset": str(source[2]).encode(), "dlq-outcome": b"rejected", "dlq-reason": reason.encode()})
    equal("timestamp of the source", last["handback-source-timestamp"], doc["source"]["timestamp"].encode())
    true("a detail for people", last["handback-dlq-detail"], letter.headers)
    true("no header of ours holds a token", not any(
        b"domainId" in (v or b"") or b"eyJ" in (v or b"") for _, v in letter.headers[len(reply.headers):]), letter.headers)
