"""Where reading stands when a topic is not what it was: open and aborted transactions, topics made again, partitions added."""

import json

from confluent_kafka import Producer

from ..books import equal, source_of, true
from ..bridge import Bridge
from ..pair import reason_with
from ..procs import Failed, wait_for
from ..stack import PARTITIONS, Stack
from ..topics import Rec, Tail
from . import new_id, scenario


@scenario("transactions", own_bridge=True, beside=True)
def transactions(stack: Stack) -> str:
    """replies behind an open transaction are seen to wait; markers and aborted records at the tail hold no commit back"""
    topics, group = stack.beside["txn"], "handback-txn"
    bridge = Bridge("handback-txn", group, stack.cadence, stack.kafka.brokers, topics)
    try:
        bridge.wait_ready()
        writer = _transactional(stack)
        _begin(writer, topics)
        workflow = new_id("txn")
        stack.worker.start("Fan", workflow, {"script": stack.script(topics=topics), "from": 0, "count": 20})
        replies = stack.replies_of(workflow, 20, topics)
        partition = replies[0].partition
        lag = wait_for("a lag of the replies that wait", lambda: _at_least(bridge, "handback_lag_records", 20), 30)
        oldest = wait_for("their age to grow", lambda: _at_least(bridge, "handback_oldest_unsettled_seconds", 3), 30)
        equal("outcomes", stack.tail.all(topics["outcomes"]), [])
        writer.abort_transaction(30)
        equal("what the workflow saw", stack.worker.result(workflow), 20)
        # The last that each partition holds is now aborted, and a marker.
        _begin(writer, topics)
        writer.abort_transaction(30)
        wait_for("no lag", lambda: not _at_least(bridge, "handback_lag_records", 1), 30)
        wait_for("nothing unsettled", lambda: not _at_least(bridge, "handback_oldest_unsettled_seconds", 0.001), 30)
        _committed_to_the_end(stack, group, topics)
        equal("outcomes", {source_of(r) for r in stack.tail.all(topics["outcomes"])}, {r.source for r in replies})
        bridge.drain()
        # All of it is handled: that retention takes it is no loss.
        stack.kafka.forget(topics["replies"][0])
        bridge = Bridge("handback-txn", group, stack.cadence, stack.kafka.brokers, topics).wait_ready()
        _another(stack, topics)
        _committed_to_the_end(stack, group, topics)
        equal("/readyz", bridge.get("/readyz")[0], 200)
        bridge.drain()
        return f"behind an open transaction in partition {partition}: lag {lag:.0f}, oldest {oldest:.1f} s"
    finally:
        bridge.proc.stop(1)


def _at_least(bridge: Bridge, metric: str, least: float) -> float | None:
    value = bridge.metric(metric + r"(\{| )")
    return value if value >= least else None


def _transactional(stack: Stack) -> Producer:
    writer = Producer({"bootstrap.servers": stack.kafka.brokers, "transactional.id": "live", "log_level": 0,
                       "transaction.timeout.ms": 120_000})
    writer.init_transactions(30)
    return writer


def _begin(writer: Producer, topics: dict) -> None:
    """A transaction that has written to every partition."""
    told: list = []
    writer.begin_transaction()
    for partition in range(PARTITIONS):
        writer.produce(topics["replies"][0], value=b"never to be read", partition=partition,
                       on_delivery=lambda fault, _: told.append(fault))
    writer.flush(30)
    equal("faults of the transaction's records", told, [None] * PARTITIONS)


def _committed_to_the_end(stack: Stack, group: str, topics: dict) -> None:
    """Of partitions with records and with none but aborted ones alike."""
    topic = topics["replies"][0]
    ends = stack.kafka.ends(topic)
    try:
        wait_for("commits", lambda: stack.kafka.committed(group, topic) == ends, 30, every=0.3)
    except Failed:
        raise Failed(f"committed: {stack.kafka.committed(group, topic)}, ends: {ends}") from None


def _another(stack: Stack, topics: dict) -> None:
    workflow = new_id("another")
    stack.worker.start("Single", workflow, {"script": stack.script([{"reply": {"result": "on it goes"}}], topics=topics), "want": "string"})
    equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "on it goes", "details": None})


@scenario("recreated", own_bridge=True, beside=True)
def recreated(stack: Stack) -> str:
    """a reply topic deleted and made again: running, all stops until it is acknowledged; stopped, it begins anew; nothing is passed over"""
    again = Again(stack)
    try:
        again.start()
        first = again.ask("first")
        again.answer(first)
        again.is_applied(first)
        second = again.ask("second")
        again.made_again(second)
        said = again.stays_stopped(second)
        again.stop()
        again.start(ready=False)
        again.stays_stopped(second)
        again.stop()
        again.start(acknowledged=True)
        again.is_applied(second)
        again.stop()
        # And while nobody is there. With a topic the brokers delete what a group has committed: nobody knows of the one before.
        third = again.ask("third")
        again.made_again(third)
        again.start()
        again.is_applied(third)
        again.stop()
        equal("outcomes", again.outcomes(), [(request.json["activity"]["workflow_id"], "applied") for request in (first, second, third)])
        return said
    finally:
        again.bridge.proc.stop(1)


class Again:
    """A reply topic that is made again, and the bridge that reads it."""

    GROUP = "handback-again"

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._topics = stack.beside["again"]
        self._topic = self._topics["replies"][0]

    def start(self, ready: bool = True, acknowledged: bool = False) -> None:
        accepted = [f"{self._topic}={self._stack.kafka.topic_id(self._topic)}"] if acknowledged else []
        topics = self._topics | ({"accept_recreated": accepted} if accepted else {})
        self.bridge = Bridge("handback-again", self.GROUP, self._stack.cadence, self._stack.kafka.brokers, topics)
        if ready:
            self.bridge.wait_ready()

    def stop(self) -> None:
        self.bridge.drain()

    def ask(self, name: str) -> Rec:
        workflow = new_id(f"again-{name}")
        self._stack.worker.start("Single", workflow, {"script": self._stack.script([], topics=self._topics), "want": "string"})
        return self._stack.request_of(workflow, topics=self._topics)

    def answer(self, request: Rec) -> None:
        body = json.dumps({"task_token": request.json["task_token"], "result": "kept"}).encode()
        self._stack.sender.send(self._topic, body, request.key, partition=0)

    def is_applied(self, request: Rec) -> None:
        seen = self._stack.worker.result(request.json["activity"]["workflow_id"])
        equal("what the workflow saw", seen, {"kind": "value", "value": "kept", "details": None})
        ends = self._stack.kafka.ends(self._topic)
        wait_for("commits", lambda: self._committed().get(0) == ends[0], 30)

    def made_again(self, request: Rec) -> None:
        """Before anybody can notice, the answer stands below what was committed, and other records reach beyond that."""
        kafka, end = self._stack.kafka, self._stack.kafka.ends(self._topic)[0]
        kafka.delete_topic(self._topic)
        kafka.create_topics({self._topic: PARTITIONS})
        self.answer(request)
        for _ in range(end + 2):
            self._stack.sender.send(self._topic, b"more", partition=0)

    def stays_stopped(self, request: Rec) -> str:
        """It is told, and the answer has no outcome and was not passed."""
        try:
            reason = wait_for("the reason on /readyz", lambda: reason_with(self.bridge, (self._topic, "made again")), 60,
                              procs=(self.bridge.proc,))
        except Failed as fault:
            raise Failed(f"{fault}: {self.bridge.get('/readyz')}, committed {self._committed()}, outcomes {self.outcomes()}", fault.log) from None
        true("the reason names the topic's new id", self._stack.kafka.topic_id(self._topic) in reason, reason)
        workflow = request.json["activity"]["workflow_id"]
        equal("outcomes of the answer", [o for o in self.outcomes() if o[0] == workflow], [])
        return reason

    def _committed(self) -> dict[int, int]:
        return self._stack.kafka.committed(self.GROUP, self._topic)

    def outcomes(self) -> list[tuple[str, str]]:
        """Workflow and outcome of answers, in the order in which they were written."""
        written = sorted(self._stack.tail.all(self._topics["outcomes"]), key=lambda r: r.timestamp)
        return [(r.json["activity"]["workflow_id"], r.json["outcome"]) for r in written if r.json["activity"]]


@scenario("more-partitions", own_bridge=True, beside=True)
def more_partitions(stack: Stack) -> None:
    """partitions added to a reply topic, and then to those that go with it, are taken up within a minute"""
    topics, group = stack.beside["more"], "handback-more"
    replies = topics["replies"][0]
    bridge = Bridge("handback-more", group, stack.cadence, stack.kafka.brokers, topics)
    tail = None
    try:
        bridge.wait_ready()
        stack.kafka.add_partitions({replies: 2})
        workflow = new_id("more")
        stack.worker.start("Single", workflow, {"script": stack.script([], topics=topics), "want": "string"})
        request = stack.request_of(workflow, topics=topics)
        body = json.dumps({"task_token": request.json["task_token"], "result": "from the new one"}).encode()
        source = stack.sender.send(replies, body, request.key, partition=1)
        # Its outcome belongs into a partition that is not there.
        wait_for("the reason on /readyz", lambda: reason_with(bridge, (topics["outcomes"], "partitions")), 75, procs=(bridge.proc,))
        true("not committed", 1 not in stack.kafka.committed(group, replies) or stack.kafka.committed(group, replies)[1] <= source[2])
        others = {topics["outcomes"]: 2, topics["dead_letters"]: 2} | {name: 2 for name in topics["retry"]}
        stack.kafka.add_partitions(others)
        tail = Tail(stack.kafka.brokers, {replies: 2, topics["outcomes"]: 2})
        outcome = tail.wait("the outcome", topics["outcomes"], lambda r: source_of(r) == source, timeout=75)[0]
        equal("the outcome and its partition", (outcome.json["outcome"], outcome.partition), ("applied", 1))
        equal("what the workflow saw", stack.worker.result(workflow), {"kind": "value", "value": "from the new one", "details": None})
        wait_for("the commit", lambda: stack.kafka.committed(group, replies).get(1) == source[2] + 1, 30)
        bridge.wait_ready(timeout=75)
        bridge.drain()
    finally:
        bridge.proc.stop(1)
        if tail is not None:
            tail.close()
