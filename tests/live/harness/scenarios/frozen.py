"""A member that stands still for longer than its session, with work in hand, and goes on as if nothing had happened."""

import signal

from ..books import equal, true
from ..bridge import Bridge
from ..commits import commits_of
from ..fans import Fans
from ..procs import wait_for
from ..stack import Stack
from . import scenario

GROUP = "handback-frozen"
WORKFLOWS = 6
EACH = 100
TIMES = {"kafka": {"session_timeout": "3s"}, "bridge": {"drain_timeout": "2500ms", "revoke_timeout": "1s"}}


@scenario("frozen", own_bridge=True)
def frozen(stack: Stack) -> str:
    """SIGSTOP past the session timeout with work in hand, another takes over, SIGCONT: the late work commits nothing"""
    topics = stack.faults["frozen"]
    victim, other = (Bridge(f"handback-frozen-{n}", GROUP, stack.cadence, stack.kafka.brokers, topics, TIMES) for n in (1, 2))
    fans = Fans(stack, topics, GROUP, EACH)
    try:
        for bridge in (victim, other):
            bridge.wait_ready()
        wait_for("both bridges to hold partitions", lambda: len(_shares(stack)) == 2, 60, procs=(victim.proc, other.proc))
        for _ in range(WORKFLOWS):
            fans.start()
        _freeze_with_work(stack, topics, victim)
        wait_for("the other to hold all partitions", lambda: set(_shares(stack)) == {other.name}, 60, procs=(other.proc,))
        fans.finish_all()
        # Everything is settled and committed by the other before the late one wakes up.
        stack.books.committed(GROUP, topics)
        commits, outcomes = commits_of(stack.kafka.brokers, GROUP), len(stack.tail.all(topics["outcomes"]))
        victim.proc.signal(signal.SIGCONT)
        _comes_back(stack, victim)
        counted = fans.check()
        # Answered by the engine without an outcome, or with an outcome and not committed.
        true("the frozen one had work in hand", counted.evidence.get("history", 0) + counted.repeated > 0, counted)
        late = len(stack.tail.all(topics["outcomes"])) - outcomes
        ends = stack.kafka.ends(topics["replies"][0])
        since = [c for c in commits_of(stack.kafka.brokers, GROUP)[len(commits):] if c.offset != ends[c.partition]]
        equal("commits below the end since the late one woke up", since, [])
        for bridge in (victim, other):
            bridge.drain()
        return f"{fans.activities} activities, {late} outcomes written by the frozen one once it went on: {counted}"
    finally:
        for bridge in (victim, other):
            # A process that is stopped does not hear SIGTERM.
            bridge.proc.signal(signal.SIGCONT)
            bridge.proc.stop(1)


def _shares(stack: Stack) -> dict[str, int]:
    return {name: partitions for name, partitions in stack.kafka.members(GROUP).items() if partitions}


def _freeze_with_work(stack: Stack, topics: dict, victim: Bridge) -> None:
    """Stops the victim while it has replies in hand."""
    stack.tail.wait("the first outcomes", topics["outcomes"], lambda r: True, count=WORKFLOWS * EACH // 6)
    wait_for("work in the victim's hands", lambda: victim.metric(r"handback_in_flight_records\{") >= 5, 60, every=0.01,
             procs=(victim.proc,))
    victim.proc.signal(signal.SIGSTOP)
    wait_for("the victim to stand still", lambda: victim.get("/livez", timeout=0.5)[0] == 0, 10)


def _comes_back(stack: Stack, victim: Bridge) -> None:
    """It learns that the group has given it up, lets go of its work, and is a member again."""
    wait_for("the late one to lose its partitions", lambda: b"partitions lost" in victim.proc.log.read_bytes(), 30, procs=(victim.proc,))
    victim.wait_ready()
    wait_for("it to hold partitions again", lambda: victim.name in _shares(stack), 30, procs=(victim.proc,))
