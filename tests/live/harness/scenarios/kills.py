"""Members that die again and again while duplicates and contradictions come in: the books are right from three sides.

`HANDBACK_LIVE_KILLS` and `HANDBACK_LIVE_WORKFLOWS` make it as long as one likes (200 activities each).
"""

import os
import random
import signal
import threading
import time

from ..books import equal, true
from ..bridge import Bridge
from ..fans import Fans
from ..procs import Failed
from ..stack import Stack
from . import scenario

KILLS = int(os.environ.get("HANDBACK_LIVE_KILLS", "5"))
WORKFLOWS = int(os.environ.get("HANDBACK_LIVE_WORKFLOWS", "5"))
GROUP = "handback-kills"


@scenario("kills", own_bridge=True)
def kills(stack: Stack) -> str:
    """two bridges killed with -9 at random moments under duplicates and contradictions: every first outcome is right"""
    seed = int(os.environ.get("HANDBACK_LIVE_SEED", str(random.randrange(1_000_000))))
    killer = Killer(stack, random.Random(seed))
    fans = Fans(stack, stack.kills, GROUP)
    try:
        began = time.monotonic()
        killer.start()
        fans.play(lambda started: started < WORKFLOWS)
        took = time.monotonic() - began
        killer.finish()
        true("members were killed while there was work", killer.count >= min(KILLS, 3), killer.count)
        counted = fans.check()
        saved = sum(b.metric(r"handback_ledger_hits_total ") for b in killer.bridges)
        for bridge in killer.bridges:
            bridge.drain()
        return (f"{fans.activities} activities in {took:.0f} s, {killer.count} kills (seed {seed}): {counted}; "
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
