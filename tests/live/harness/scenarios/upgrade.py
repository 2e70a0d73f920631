"""A rolling upgrade from an earlier version, and the way back, while replies come in."""

import json
import threading
import uuid

from .. import build
from ..books import equal, source_of
from ..bridge import Bridge
from ..cadence import DOMAIN
from ..fans import Fans
from ..procs import Failed, wait_for
from ..stack import Stack
from ..topics import Rec
from . import scenario

GROUP = "handback-upgrade"
MEMBERS = 2
EACH = 100
# Outcomes between two changes: each mixture does a part of the work.
BETWEEN = 100
# A window that is emptied within the revoke timeout also on a busy machine: what is handed over in order is not done twice.
TIMES = {"bridge": {"max_in_flight": 16, "revoke_timeout": "7s"}}


@scenario("upgrade", own_bridge=True)
def upgrade(stack: Stack) -> str:
    """a rolling upgrade from 0.1.0 and a roll-back in one group under duplicates and contradictions: nothing lost, nothing repeated"""
    topics = stack.upgrade
    fleet = Fleet(stack)
    fans = Fans(stack, topics, GROUP, EACH)
    load = Load(fans)
    try:
        for _ in range(MEMBERS):
            fleet.start(build.earlier_handback())
        load.start()
        said = []
        # There, and back again.
        for name, program in (("upgraded", build.handback()), ("rolled back", build.earlier_handback())):
            waiting = _to_retry_topics(stack)
            for _ in range(MEMBERS):
                _work_is_done(stack)
                fleet.replace(program)
            _work_is_done(stack)
            _is_settled(stack, waiting)
            said.append(f"{name} after {len(stack.tail.all(topics['outcomes']))} outcomes")
        load.finish()
        counted = fans.check()
        _check_repeats(stack)
        for bridge in fleet.up:
            bridge.drain()
        return f"{fans.activities} activities, {', '.join(said)}: {counted}"
    except (Failed, AssertionError) as fault:
        raise Failed(str(fault), getattr(fault, "log", None) or fleet.up[-1].proc.log) from fault
    finally:
        load.stop()
        for bridge in fleet.up:
            bridge.proc.stop(1)


def _check_repeats(stack: Stack) -> None:
    """A reply that was settled before an earlier one of its partition is judged again when the partition moves: it is told the
    same, and what was applied is not told again at all."""
    said: dict[tuple, list[str]] = {}
    for outcome in stack.tail.all(stack.upgrade["outcomes"]):
        said.setdefault(source_of(outcome), []).append(outcome.json["outcome"])
    wrong = {source: kinds for source, kinds in said.items() if len(kinds) > 1 and ("applied" in kinds or len({*kinds}) > 1)}
    equal("replies that were told otherwise, or applied, again", wrong, {})


def _work_is_done(stack: Stack) -> None:
    """By those who are there now."""
    topic = stack.upgrade["outcomes"]
    stack.tail.wait("outcomes", topic, lambda r: True, count=len(stack.tail.all(topic)) + BETWEEN, timeout=120)


def _to_retry_topics(stack: Stack) -> Rec:
    """A reply that one version puts on a retry topic, and the other finds there."""
    topic = stack.upgrade["replies"][1]
    target = {"domain": DOMAIN, "workflow_id": "nowhere", "run_id": str(uuid.uuid4()), "activity_id": "1"}
    source = stack.sender.send(topic, json.dumps({"activity": target, "result": 1}).encode())
    reply = stack.tail.wait("the reply", topic, lambda r: r.source == source)[0]
    first = stack.upgrade["retry"][0]
    stack.tail.wait(f"the reply on {first}", first, lambda r: _origin(r) == source)
    return reply


def _origin(moved: Rec) -> tuple:
    topic, partition, offset = (moved.header(f"handback-source-{name}") for name in ("topic", "partition", "offset"))
    return topic.decode(), int(partition), int(offset)


def _is_settled(stack: Stack, reply: Rec) -> None:
    outcome = stack.books.outcome(reply, stack.upgrade).json
    # A call before each of the tiers, and one after the last.
    equal("what became of the reply on retry topics", (outcome["outcome"], outcome["attempts"]), ("unknown", 1 + len(stack.upgrade["retry"])))
    letters = stack.books.dead_letters_of(reply, stack.upgrade)
    equal("its dead letters", [letter.value for letter in letters], [reply.value])


class Load:
    """Workflows, one after the other, until there are enough."""

    def __init__(self, fans: Fans) -> None:
        self._fans = fans
        self._enough = threading.Event()
        self._faults: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._fans.play(lambda _: not self._enough.is_set())
        except Exception as fault:  # noqa: BLE001 - told by finish()
            self._faults.append(str(fault))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._enough.set()

    def finish(self) -> None:
        self.stop()
        self._thread.join()
        equal("what the workflows saw", self._faults, [])


class Fleet:
    """The members of the group, the oldest first."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._started = 0
        self.up: list[Bridge] = []

    def start(self, program) -> None:
        self._started += 1
        bridge = Bridge(f"handback-upgrade-{self._started}", GROUP, self._stack.cadence, self._stack.kafka.brokers,
                        self._stack.upgrade, TIMES, program=program)
        self.up.append(bridge)
        bridge.wait_ready()
        wait_for(f"{bridge.name} to hold partitions", lambda: self._stack.kafka.members(GROUP).get(bridge.name), 60,
                 procs=tuple(b.proc for b in self.up))

    def replace(self, program) -> None:
        """The oldest is stopped in order, a new one takes its place."""
        self.up.pop(0).drain()
        self.start(program)
