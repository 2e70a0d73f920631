"""Members that come and go every second: by SIGTERM, by kill -9, and new ones.

`HANDBACK_LIVE_STORM` is for how many seconds.
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

SECONDS = float(os.environ.get("HANDBACK_LIVE_STORM", "12"))
GROUP = "handback-storm"
MEMBERS = 4
# A killed member holds its partitions until then. Longer than the storm's beat, or nobody would ever be given up.
TIMES = {"kafka": {"session_timeout": "3s"}, "bridge": {"drain_timeout": "2500ms", "revoke_timeout": "1s"}}


@scenario("storm", own_bridge=True)
def storm(stack: Stack) -> str:
    """four bridges, of which one leaves or joins every second, under duplicates and contradictions: the books are right"""
    seed = int(os.environ.get("HANDBACK_LIVE_SEED", str(random.randrange(1_000_000))))
    weather = Weather(stack, random.Random(seed))
    fans = Fans(stack, stack.faults["storm"], GROUP)
    try:
        weather.begin()
        fans.play(lambda _: not weather.is_over())
        weather.end()
        true("the storm lasted", weather.changes >= SECONDS / 2, weather.changes)
        counted = fans.check()
        for bridge in weather.up:
            bridge.drain()
        return f"{fans.activities} activities, {weather} in {SECONDS:.0f} s (seed {seed}): {counted}"
    except (Failed, AssertionError) as fault:
        raise Failed(f"seed {seed}, {weather}: {fault}", weather.up[0].proc.log if weather.up else None) from fault
    finally:
        weather.end()


class Weather:
    """Four bridges; every second one is stopped in order, or killed, or comes back, whichever is next."""

    def __init__(self, stack: Stack, chance: random.Random) -> None:
        self._stack, self._chance = stack, chance
        self.up = [self._bridge(n) for n in range(1, MEMBERS + 1)]
        self._next = MEMBERS
        self._leaving: list[Bridge] = []
        self.stopped = self.killed = self.started = 0
        self._began = time.monotonic()
        self._over = threading.Event()
        self._faults: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __str__(self) -> str:
        return f"{self.stopped} stopped, {self.killed} killed, {self.started} started"

    @property
    def changes(self) -> int:
        return self.stopped + self.killed + self.started

    def _bridge(self, number: int) -> Bridge:
        return Bridge(f"handback-storm-{number}", GROUP, self._stack.cadence, self._stack.kafka.brokers,
                      self._stack.faults["storm"], TIMES)

    def begin(self) -> None:
        for bridge in self.up:
            bridge.wait_ready()
        self._began = time.monotonic()
        self._thread.start()

    def is_over(self) -> bool:
        return time.monotonic() - self._began > SECONDS

    def _run(self) -> None:
        # A leave, a join, a death, a join: between two and four are there.
        beats = (self._stop, self._start, self._kill, self._start)
        try:
            while not self._over.wait(1.0) and not self.is_over():
                beats[self.changes % len(beats)]()
            # Those who are gone come back, so that the rest of the work has all hands.
            while len(self.up) < MEMBERS and not self._over.is_set():
                self._start()
        except Exception as fault:  # noqa: BLE001 - told by end()
            self._faults.append(str(fault))

    def _pick(self) -> Bridge:
        return self.up.pop(self._chance.randrange(len(self.up)))

    def _stop(self) -> None:
        bridge = self._pick()
        self._leaving.append(bridge)
        bridge.proc.signal(signal.SIGTERM)
        self.stopped += 1

    def _kill(self) -> None:
        bridge = self._pick()
        bridge.proc.signal(signal.SIGKILL)
        equal(f"exit code of {bridge.name}", bridge.proc.wait(10), -signal.SIGKILL)
        bridge.check_log()
        self.killed += 1

    def _start(self) -> None:
        self._next += 1
        self.up.append(self._bridge(self._next))
        self.started += 1

    def end(self) -> None:
        """No more changes; who was told to leave has left in order, with 0 or, when work did not end in time, with 70."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        leaving, self._leaving = self._leaving, []
        for bridge in leaving:
            code = bridge.proc.wait(15)
            true(f"exit code of {bridge.name}", code in (0, 70), code)
            bridge.check_log()
        equal("what went wrong in the storm", self._faults, [])
