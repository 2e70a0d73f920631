"""2,000 activities through two bridge processes, one of which is killed midway."""

import signal
import threading
import time

from ..books import equal, source_of, true
from ..bridge import Bridge
from ..procs import Failed, wait_for
from ..stack import Stack
from . import new_id, scenario

WORKFLOWS = 10
EACH = 200
GROUP = "handback-load"


@scenario("load", own_bridge=True)
def load(stack: Stack) -> str:
    """2,000 activities, 10 workflows x 200, two bridges, one killed with -9 midway: all right, nothing lost"""
    bridges = [Bridge(f"handback-load-{n}", GROUP, stack.cadence, stack.kafka.brokers, stack.load) for n in (1, 2)]
    try:
        for bridge in bridges:
            bridge.wait_ready()
        wait_for("both bridges to hold partitions", lambda: _shares(stack) == sorted(b.name for b in bridges), 60,
                 procs=tuple(b.proc for b in bridges))
        ids = [new_id("fan") for _ in range(WORKFLOWS)]
        script = stack.script(topics=stack.load)
        for n, workflow in enumerate(ids):
            stack.worker.start("Fan", workflow, {"script": script, "from": n * EACH, "count": EACH}, seconds=280)
        began = time.monotonic()
        killed_at = _kill_midway(stack, bridges[0])
        _await_results(stack, ids, bridges[1])
        took = time.monotonic() - began
        kinds, repeated = _check_books(stack)
        bridges[1].drain()
        bridges[0].check_log()
        return (f"{WORKFLOWS} workflows x {EACH} activities right in {took:.1f} s, one of two bridges killed after {killed_at} "
                f"outcomes; {kinds['engine']} applied, {kinds['history']} of them known from history after the kill, {repeated} outcomes written twice")
    finally:
        for bridge in bridges:
            bridge.proc.stop(1)


def _shares(stack: Stack) -> list[str]:
    return sorted(name for name, partitions in stack.kafka.members(GROUP).items() if partitions)


def _kill_midway(stack: Stack, victim: Bridge) -> int:
    """Once a third of the outcomes are there; the victim has had its part in them. Returns how many there were."""
    stack.tail.wait("a third of the outcomes", stack.load["outcomes"], lambda r: True, count=WORKFLOWS * EACH // 3, timeout=120)
    # A workflow is a key: how many are the victim's, and how soon they come, is chance.
    wait_for("the victim to take part", lambda: victim.metric(r"handback_outcomes_total\{") >= 50, 30, procs=(victim.proc,))
    wait_for("work in the victim's hands", lambda: victim.metric(r"handback_in_flight_records\{") > 0, 60, every=0.01,
             procs=(victim.proc,))
    victim.proc.signal(signal.SIGKILL)
    equal("exit code of the victim", victim.proc.wait(10), -signal.SIGKILL)
    done = len(stack.tail.all(stack.load["outcomes"]))
    true("it was killed midway", done < WORKFLOWS * EACH, done)
    return done


def _await_results(stack: Stack, ids: list[str], survivor: Bridge) -> None:
    faults: list[str] = []

    def one(workflow: str) -> None:
        try:
            equal(f"{workflow}: right answers", stack.worker.result(workflow, timeout=240), EACH)
        except (Failed, AssertionError) as fault:
            faults.append(str(fault))

    threads = [threading.Thread(target=one, args=(w,), daemon=True) for w in ids]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if faults:
        raise Failed("; ".join(faults), survivor.proc.log)


def _check_books(stack: Stack) -> tuple[dict[str, int], int]:
    """Every reply has its outcome. What the victim had applied but not recorded is known from history."""
    total = WORKFLOWS * EACH
    first = stack.books.complete(GROUP, stack.load)
    equal("replies with an outcome", len(first), total)
    equal("what became of them", {r.json["outcome"] for r in first.values()}, {"applied"})
    kinds = {kind: sum(1 for r in first.values() if r.json["evidence"] == kind) for kind in ("engine", "history")}
    # A reply that comes again after the kill is known by the identity of the call that the victim made.
    again = [r for r in stack.tail.all(stack.load["outcomes"]) if r is not first[source_of(r)]]
    equal("what is said of replies that came again", {(r.json["outcome"], r.json["evidence"]) for r in again} - {("applied", "history")},
          set())
    equal(f"by the engine and by history make all ({kinds})", sum(kinds.values()), total)
    # In the victim's hands at most: its window.
    true("from history only what was in the victim's hands", kinds["history"] <= 256, kinds)
    replies = {r.source: r for r in stack.tail.all(stack.load["replies"][0])}
    for kind in kinds:
        for source in [s for s, r in first.items() if r.json["evidence"] == kind][:100]:
            reply = replies[source]
            stack.books.check(reply, "applied", "complete", topics=stack.load, token=reply.json["task_token"], evidence=kind,
                              named=False)
    return kinds, len(stack.tail.all(stack.load["outcomes"])) - total
