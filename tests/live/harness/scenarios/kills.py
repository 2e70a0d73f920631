"""Members that die again and again while duplicates and contradictions come in: the books are right from three sides.

`HANDBACK_LIVE_KILLS` and `HANDBACK_LIVE_WORKFLOWS` make it as long as one likes (200 activities each).
"""

import os
import random
import signal
import threading
import time

from ..books import equal, source_of, true
from ..bridge import Bridge
from ..procs import Failed, wait_for
from ..stack import Stack
from ..topics import Rec
from . import new_id, scenario

KILLS = int(os.environ.get("HANDBACK_LIVE_KILLS", "5"))
WORKFLOWS = int(os.environ.get("HANDBACK_LIVE_WORKFLOWS", "5"))
EACH = 200
# One activity in so many is answered twice, and as many are contradicted.
AGAIN = 4
GROUP = "handback-kills"
# Workflows under way at a time: what a server on two cores can take.
AT_ONCE = 5


@scenario("kills", own_bridge=True)
def kills(stack: Stack) -> str:
    """two bridges killed with -9 at random moments under duplicates and contradictions: every first outcome is right"""
    seed = int(os.environ.get("HANDBACK_LIVE_SEED", str(random.randrange(1_000_000))))
    killer = Killer(stack, random.Random(seed))
    try:
        ids = [new_id("fan") for _ in range(WORKFLOWS)]
        began = time.monotonic()
        killer.start()
        _play(stack, ids)
        took = time.monotonic() - began
        killer.finish()
        true("members were killed while there was work", killer.count >= min(KILLS, 3), killer.count)
        kinds = _check_books(stack, ids)
        saved = sum(b.metric(r"handback_ledger_hits_total ") for b in killer.bridges)
        for bridge in killer.bridges:
            bridge.drain()
        return (f"{WORKFLOWS * EACH} activities in {took:.0f} s, {killer.count} kills (seed {seed}): {kinds}; lost 0, applied twice 0; "
                f"the last two processes were spared {saved:.0f} calls by the ledger")
    except (Failed, AssertionError) as fault:
        raise Failed(f"seed {seed}: {fault}", killer.bridges[0].proc.log) from fault
    finally:
        killer.finish()
        for bridge in killer.bridges:
            bridge.proc.stop(1)


class Killer:
    """Two bridges, of which one or the other is killed and started again at random moments."""

    def __init__(self, stack: Stack, chance: random.Random) -> None:
        self._stack, self._chance = stack, chance
        self.bridges = [self._bridge(n) for n in (1, 2)]
        self.count = 0
        self._over = threading.Event()
        self._faults: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _bridge(self, number: int) -> Bridge:
        return Bridge(f"handback-kills-{number}", GROUP, self._stack.cadence, self._stack.kafka.brokers, self._stack.kills)

    def start(self) -> None:
        for bridge in self.bridges:
            bridge.wait_ready()
        self._thread.start()

    def _run(self) -> None:
        try:
            while self.count < KILLS and not self._over.wait(self._chance.uniform(0.3, 3)):
                self._kill(self._chance.randrange(2))
        except Exception as fault:  # noqa: BLE001 - told by finish()
            self._faults.append(str(fault))

    def _kill(self, victim: int) -> None:
        bridge = self.bridges[victim]
        bridge.proc.signal(signal.SIGKILL)
        equal(f"exit code of {bridge.name}", bridge.proc.wait(10), -signal.SIGKILL)
        self.count += 1
        self.bridges[victim] = self._bridge(victim + 1)

    def finish(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        equal("what went wrong with the kills", self._faults, [])


def _play(stack: Stack, ids: list[str]) -> None:
    """All workflows, a few at a time; each must see the right answer of every activity."""
    script = stack.script(topics=stack.kills)
    faults: list[str] = []
    places = threading.Semaphore(AT_ONCE)

    def one(number: int, workflow: str) -> None:
        with places:
            try:
                case = {"script": script, "from": number * EACH, "count": EACH, "again": AGAIN}
                stack.worker.start("Fan", workflow, case, seconds=280)
                equal(f"{workflow}: right answers", stack.worker.result(workflow, timeout=270), EACH)
            except (Failed, AssertionError) as fault:
                faults.append(str(fault))

    threads = [threading.Thread(target=one, args=numbered, daemon=True) for numbered in enumerate(ids)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if faults:
        raise Failed("; ".join(faults))


def _check_books(stack: Stack, ids: list[str]) -> dict[str, int]:
    """Workflow results are checked already; here the outcome topic, and the identities that history holds."""
    expected = WORKFLOWS * EACH + 2 * (WORKFLOWS * EACH // AGAIN)
    replies = stack.tail.wait("all replies", stack.kills["replies"][0], lambda r: True, count=expected, timeout=60)
    equal("replies", len(replies), expected)
    wait_for("an outcome for each reply", lambda: len(_first(stack)) == expected, 120, every=0.5)
    first = stack.books.complete(GROUP, stack.kills)
    kinds: dict[str, int] = {}
    won: dict[str, str] = {}
    answered: dict[str, Rec] = {}
    for reply in sorted(replies, key=lambda r: (r.partition, r.offset)):
        outcome = first[reply.source].json
        token = reply.json["task_token"]
        before = answered.setdefault(token, reply)
        same = reply.json["result"] == before.json["result"]
        want = "applied" if before is reply else "duplicate" if same else "conflict"
        equal(f"first outcome of {reply.source} ({outcome['detail']})", outcome["outcome"], want)
        kinds[want] = kinds.get(want, 0) + 1
        if want == "applied":
            activity = outcome["activity"]
            won[f"{activity['workflow_id']}/{activity['schedule_id']}"] = f"{'/'.join(map(str, reply.source))}/{outcome['fingerprint']}"
    for want in kinds:
        some = [r for r in replies if first[r.source].json["outcome"] == want][:50]
        for reply in some:
            outcome = first[reply.source].json
            stack.books.check(reply, want, "complete", topics=stack.kills, token=reply.json["task_token"],
                              evidence=outcome["evidence"], called=outcome["attempts"] > 0)
    for workflow in ids:
        done = stack.worker.events(workflow, "ActivityTaskCompleted")
        equal(f"{workflow}: completions in history", len(done), EACH)
        for event in done:
            place = f"{workflow}/{event['scheduledEventId']}"
            true(f"{place}: history names the reply that won", event["identity"].endswith(won[place]), (event["identity"], won[place]))
    return kinds


def _first(stack: Stack) -> set[tuple]:
    return {source_of(r) for r in stack.tail.all(stack.kills["outcomes"])}
