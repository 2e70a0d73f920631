"""Everything that the scenarios share: one broker, one Cadence server, worker, service and bridge."""

import sys
import threading
import time

from . import term
from .bridge import Bridge
from .books import Books
from .brokers import Brokers
from .cadence import Cadence, Worker
from .examples import requests
from .kafka import Kafka
from .paths import SOURCES
from .procs import Failed, NotAsked, Proc, wait_for
from .topics import Rec, Sender, Tail

GROUP = "handback-live"
PARTITIONS = 4
LOAD_PARTITIONS = 8


def names(prefix: str = "") -> dict:
    """Topics of one bridge as its settings name them."""
    return {"requests": f"{prefix}activity-requests", "replies": [f"{prefix}activity-replies"],
            "outcomes": f"{prefix}activity-outcomes", "dead_letters": f"{prefix}activity-replies-dlq",
            "retry": [f"{prefix}activity-replies-retry-2s", f"{prefix}activity-replies-retry-5s"]}


def flat(topics: dict, partitions: int) -> dict[str, int]:
    return {name: partitions for entry in topics.values() for name in ([entry] if isinstance(entry, str) else entry)}


# Sets of topics for faults that need a group of their own.
FAULTS = ("storm", "frozen", "engine", "history", "dropped")


# Sets for scenarios that run beside each other. What is made again or grows is not among them.
BESIDE = ("headers", "large", "txn", "again", "refused", "more")


# Examples with a request topic of their own; they answer where everybody does.
EXAMPLES = ("python-feedback", "node-feedback", "approve", "refuse", "node-service", "rust-service", "go-worker")


class Site:
    """What a load needs: brokers, an engine, a worker between them, and the books.

    `main` are the topics that are meant when none are named.
    """

    def __init__(self, kafka: Brokers, cadence: Cadence, worker: Worker, tail: Tail, main: dict) -> None:
        self.kafka, self.cadence, self.worker, self.tail, self.main = kafka, cadence, worker, tail, main
        self.books = Books(self)

    def script(self, *attempts: list, on_cancel: list | None = None, topics: dict | None = None) -> dict:
        """What the service shall do, one list of steps per attempt."""
        topics = topics or self.main
        script = {"requests": topics["requests"], "reply_to": topics["replies"][0], "attempts": list(attempts)}
        return script if on_cancel is None else {**script, "on_cancel": on_cancel}

    def request_of(self, workflow_id: str, attempt: int = 0, topics: dict | None = None) -> Rec:
        topics = topics or self.main
        try:
            return self.tail.wait(f"the request of {workflow_id}", topics["requests"],
                                  lambda r: (a := r.json["activity"])["workflow_id"] == workflow_id and a["attempt"] == attempt)[0]
        except Failed as fault:
            raise NotAsked(f"{fault} (attempt {attempt})", fault.log) from None

    def replies_of(self, workflow_id: str, count: int, topics: dict | None = None) -> list[Rec]:
        """Replies to the activities of a workflow, in the order of their partition (they have the same key)."""
        topics = topics or self.main
        key = self.request_of(workflow_id, topics=topics).key
        return self.tail.wait(f"replies for {workflow_id}", topics["replies"][0], lambda r: r.key == key, count)

class Stack(Site):
    def __init__(self) -> None:
        self.main, self.load, self.secure, self.looks = names(), names("load-"), names("secure-"), names("looks-")
        self.kills, self.spring = names("kills-"), names("spring-")
        self.faults = {name: names(f"{name}-") for name in FAULTS}
        self.handover = {protocol: names(f"{protocol}-") for protocol in ("classic", "consumer")}
        # Waits on retry topics that are about as long as members need to be replaced.
        self.upgrade = names("upgrade-") | {"replies": ["upgrade-activity-replies", "upgrade-more-replies"],
                                            "retry": ["upgrade-activity-replies-retry-4s", "upgrade-activity-replies-retry-5s"]}
        self.beside = {name: names(f"{name}-") for name in BESIDE}
        self.topics = {}
        for topics in (self.main, self.secure, self.looks, self.spring):
            self.topics |= flat(topics, PARTITIONS)
        self.topics |= {requests(name): PARTITIONS for name in EXAMPLES}
        for name, topics in self.beside.items():
            self.topics |= {topic: 1 if name == "more" else PARTITIONS for topic in flat(topics, PARTITIONS)}
        for topics in (self.load, self.kills, self.upgrade, *self.faults.values(), *self.handover.values()):
            self.topics |= flat(topics, LOAD_PARTITIONS)
        self._bridge: Bridge | None = None

    def start(self) -> None:
        began = time.monotonic()
        with term.Doing("starting Kafka and Cadence"):
            self.kafka, self.cadence = Kafka(), Cadence()
            both(self.kafka.start, self.cadence.start)
            self.kafka.create_topics(self.topics)
            both(self._start_worker, self._start_service)
            self.tail = Tail(self.kafka.brokers, {name: n for name, n in self.topics.items() if name not in self._untailed()})
            self.sender = Sender(self.kafka.brokers)
            self.books = Books(self)
        term.line(f"{time.monotonic() - began:6.1f}s  {term.paint('ok', 'green')}    stack: Kafka {self.kafka.brokers} "
                  f"(SCRAM {self.kafka.secure_brokers}), Cadence {self.cadence.address}")

    def _untailed(self) -> set[str]:
        """Topics that are made again or grow, and those with header names that the tests' client cannot read."""
        bare = {*flat(self.beside["headers"], 1)} - {self.beside["headers"]["requests"]}
        return bare | {*self.beside["again"]["replies"], *self.beside["more"]["replies"], self.beside["more"]["outcomes"]}

    def _start_worker(self) -> None:
        self.worker = Worker(self.cadence, self.kafka.brokers)

    def _start_service(self) -> None:
        sets = (self.main, self.load, self.secure, self.looks, self.kills, self.upgrade, self.beside["txn"], *self.faults.values(),
                *self.handover.values())
        read = [name for s in sets for name in (s["requests"], s["outcomes"])]
        self.service = Proc("service", [sys.executable, SOURCES / "service.py", "--kafka", self.kafka.brokers, "--requests",
                                        *(s["requests"] for s in sets), "--outcomes", *(s["outcomes"] for s in sets)])
        wanted = sum(self.topics[name] for name in read)
        wait_for("the service to read its topics", lambda: sum(self.kafka.members("service").values()) == wanted, 60,
                 procs=(self.service,))

    def bridge(self) -> Bridge:
        """The bridge that most scenarios share; a new one when a scenario has brought the last one down."""
        if self._bridge is None or self._bridge.proc.returncode is not None:
            # A reply that waits for what never comes must not hold up a scenario for a minute.
            more = {"retry": {"spent": "1s"}}
            self._bridge = Bridge("handback", GROUP, self.cadence, self.kafka.brokers, self.main, more).wait_ready()
        return self._bridge

    def must_run(self) -> None:
        for proc in (self.kafka.proc, self.cadence.proc, self.worker.proc, self.service):
            proc.must_run()


def both(*steps) -> None:
    """Runs steps side by side; the first fault is raised once all have ended."""
    faults: list[Exception] = []

    def one(step) -> None:
        try:
            step()
        except Exception as fault:  # noqa: BLE001 - raised below
            faults.append(fault)

    threads = [threading.Thread(target=one, args=(s,), daemon=True) for s in steps]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if faults:
        raise faults[0]


__all__ = ["Failed", "Stack"]
