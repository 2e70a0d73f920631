"""A broker with SCRAM and an authorizer: handback needs the rights listed here and no others."""

from ..books import equal, true
from ..bridge import Bridge
from ..procs import wait_for
from ..stack import Stack
from . import new_id, scenario

GROUP = "handback-secure"
USER, PASSWORD = "bridge", "correct horse"


def rights(topics: dict, group: str) -> list[tuple[str, str, str]]:
    """All that handback needs (docs/operations.md has the same as a table)."""
    return [
        *(("TOPIC", name, "READ") for name in topics["replies"]),
        ("TOPIC", topics["outcomes"], "WRITE"),
        ("TOPIC", topics["outcomes"], "READ"),
        ("TOPIC", topics["dead_letters"], "WRITE"),
        *(("TOPIC", name, right) for name in topics["retry"] for right in ("READ", "WRITE")),
        ("GROUP", group, "READ"),
        ("GROUP", f"{group}-retry", "READ"),
    ]


def login(password: str, user: str = USER) -> dict:
    return {"kafka.properties": {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256",
                                 "sasl.username": user, "sasl.password": password}}


@scenario("scram", own_bridge=True)
def scram(stack: Stack) -> None:
    """SCRAM and least-privilege ACLs: the bridge completes, dead-letters and commits with the rights that docs/operations.md lists"""
    stack.kafka.add_user(USER, PASSWORD)
    stack.kafka.allow(USER, rights(stack.secure, GROUP))
    bridge = Bridge("handback-secure", GROUP, stack.cadence, stack.kafka.secure_brokers, stack.secure, login(PASSWORD))
    try:
        bridge.wait_ready()
        workflow = new_id("scram")
        step = {"reply": {"result": "over SCRAM"}, "times": 2}
        stack.worker.start("Single", workflow, {"script": stack.script([step], topics=stack.secure), "want": "string"})
        equal("what the workflow saw", stack.worker.result(workflow),
              {"kind": "value", "value": "over SCRAM", "details": None})
        token = stack.request_of(workflow, topics=stack.secure).json["task_token"]
        first, second = stack.replies_of(workflow, 2, topics=stack.secure)
        stack.books.check(first, "applied", "complete", topics=stack.secure, token=token)
        stack.books.check(second, "duplicate", "complete", topics=stack.secure, token=token, called=False)
        stack.books.complete(GROUP, stack.secure)
        bridge.drain()
        true("the password is in no log", PASSWORD.encode() not in bridge.proc.log.read_bytes())
    finally:
        bridge.proc.stop(1)


@scenario("missing-right", own_bridge=True)
def missing_right(stack: Stack) -> None:
    """without the right to write outcomes: unready with the reason, offset stays; granted, the same process goes on"""
    user, group = "newcomer", "handback-newcomer"
    everything = rights(stack.secure, group)
    withheld = ("TOPIC", stack.secure["outcomes"], "WRITE")
    stack.kafka.add_user(user, PASSWORD)
    stack.kafka.allow(user, [r for r in everything if r != withheld])
    workflow = new_id("missing-right")
    step = {"reply": {"result": "in the end"}}
    stack.worker.start("Single", workflow, {"script": stack.script([step], topics=stack.secure), "want": "string"})
    reply = stack.replies_of(workflow, 1, topics=stack.secure)[0]
    bridge = Bridge("handback-missing-right", group, stack.cadence, stack.kafka.secure_brokers, stack.secure,
                    login(PASSWORD, user))
    try:
        topic = stack.secure["outcomes"]
        wait_for("the reason on /readyz", lambda: bridge.get("/readyz")[0] == 503 and topic in bridge.get("/readyz")[1], 60,
                 procs=(bridge.proc,))
        true("no offset passes the reply", stack.kafka.committed(group, reply.topic).get(reply.partition, 0) <= reply.offset)
        stack.kafka.allow(user, [withheld])
        bridge.wait_ready()
        equal("what the workflow saw", stack.worker.result(workflow),
              {"kind": "value", "value": "in the end", "details": None})
        token = stack.request_of(workflow, topics=stack.secure).json["task_token"]
        stack.books.check(reply, "applied", "complete", topics=stack.secure, token=token)
        stack.books.complete(group, stack.secure)
        bridge.drain()
    finally:
        bridge.proc.stop(1)


@scenario("wrong-password", own_bridge=True)
def wrong_password(stack: Stack) -> None:
    """a wrong SCRAM password turns the process unready with the reason; with the right one nothing is lost"""
    stack.kafka.add_user(USER, PASSWORD)
    stack.kafka.allow(USER, rights(stack.secure, GROUP))
    before = stack.kafka.committed(GROUP, stack.secure["replies"][0])
    bridge = Bridge("handback-wrong-password", GROUP, stack.cadence, stack.kafka.secure_brokers, stack.secure,
                    login("battery staple"))
    try:
        def told() -> bool:
            status, text = bridge.get("/readyz")
            return status == 503 and "invalid credentials" in text and "sasl.password" in text

        wait_for("the reason on /readyz", told, 60, procs=(bridge.proc,))
        workflow = new_id("wrong-password")
        step = {"reply": {"result": "after all"}}
        stack.worker.start("Single", workflow, {"script": stack.script([step], topics=stack.secure), "want": "string"})
        reply = stack.replies_of(workflow, 1, topics=stack.secure)[0]
        true("still unready", told())
        equal("/livez", bridge.get("/livez")[0], 200)
        equal("committed offsets", stack.kafka.committed(GROUP, stack.secure["replies"][0]), before)
        bridge.drain()
        log = bridge.proc.log.read_bytes()
        true("neither password is in the log", b"battery staple" not in log and PASSWORD.encode() not in log)
    finally:
        bridge.proc.stop(1)
    _right_password(stack, workflow, reply)


def _right_password(stack: Stack, workflow: str, reply) -> None:
    bridge = Bridge("handback-right-password", GROUP, stack.cadence, stack.kafka.secure_brokers, stack.secure, login(PASSWORD))
    try:
        bridge.wait_ready()
        equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "after all", "details": None})
        token = stack.request_of(workflow, topics=stack.secure).json["task_token"]
        stack.books.check(reply, "applied", "complete", topics=stack.secure, token=token)
        stack.books.committed(GROUP, stack.secure)
        bridge.drain()
    finally:
        bridge.proc.stop(1)
