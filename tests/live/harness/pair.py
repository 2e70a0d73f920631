"""Two bridges of one group, and what can be said of both."""

import json

from .bridge import Bridge
from .books import equal
from .fans import Fans
from .procs import Failed, wait_for

# A short session: what a member that joins waits for is the others' heartbeat.
_TIMES = {"kafka": {"session_timeout": "3s"}, "bridge": {"drain_timeout": "2500ms", "revoke_timeout": "1s"}}


class Pair:
    """Two bridges that start when told to, on a load that is there already. `engine` is whatever has an address."""

    def __init__(self, name: str, site, engine, topics: dict, more: dict[str, dict] | None = None) -> None:
        self.group = f"handback-{name}"
        self._site, self._engine, self._topics, self._more = site, engine, topics, _TIMES | (more or {})
        self.bridges: list[Bridge] = []

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *_: object) -> None:
        for bridge in self.bridges:
            bridge.proc.stop(1)

    def answered(self, workflows: int, each: int) -> Fans:
        """A load whose activities are all asked for and answered before any bridge is there: what is left is the bridges' part.

        So a fault of the engine meets no request on its way to the worker, whose loss would be the worker's to mend.
        """
        fans = Fans(self._site, self._topics, self.group, each)
        for _ in range(workflows):
            fans.start()
        self._site.tail.wait("all replies", self._topics["replies"][0], lambda r: True, count=fans.replies, timeout=120)
        return fans

    def start(self) -> None:
        self.bridges = [Bridge(f"{self.group}-{n}", self.group, self._engine, self._site.kafka.brokers, self._topics, self._more)
                        for n in (1, 2)]
        self.wait_ready()
        wait_for("both bridges to hold partitions", lambda: len(self.shares()) == 2, 60, procs=tuple(b.proc for b in self.bridges))

    def shares(self) -> dict[str, int]:
        """Partitions of each bridge that has some."""
        return {name: partitions for name, partitions in self._site.kafka.members(self.group).items() if partitions}

    def wait_ready(self) -> None:
        for bridge in self.bridges:
            bridge.wait_ready()

    def wait_unready(self, *words: str, timeout: float = 60) -> str:
        """Until one of both says on /readyz that it is unready for a reason with these words. Returns the reason."""
        def told() -> str | None:
            return next((reason for bridge in self.bridges if (reason := reason_with(bridge, words))), None)

        try:
            return wait_for("the reason on /readyz", told, timeout, procs=tuple(b.proc for b in self.bridges))
        except Failed as fault:
            raise Failed(f"{fault}: {[b.get('/readyz') for b in self.bridges]}", fault.log) from None

    def wait_breaker_open(self) -> str:
        """Until the breaker of one of both is open. Returns the reason that it gives."""
        wait_for("an open breaker", lambda: any(b.metric(r"handback_breaker_state\{") == 2 for b in self.bridges), 60,
                 procs=tuple(b.proc for b in self.bridges))
        return self.wait_unready("the engine is unwell", "none loses an attempt")

    def check_letters(self, conflicts: int) -> None:
        """Nothing was given up: conflicts are the only dead letters there are. (One that is judged again has another.)"""
        letters = self._site.tail.wait("dead letters", self._topics["dead_letters"], lambda r: True, count=conflicts, timeout=15)
        equal("outcomes of dead letters", {r.header("handback-dlq-outcome") for r in letters}, {b"conflict"})
        sources = {(r.header("handback-source-partition"), r.header("handback-source-offset")) for r in letters}
        equal("dead letters", len(sources), conflicts)

    def drain(self) -> None:
        for bridge in self.bridges:
            bridge.drain()


def reason_with(bridge: Bridge, words: tuple[str, ...]) -> str | None:
    """The reason on /readyz that has all these words, if there is one."""
    status, text = bridge.get("/readyz")
    reasons = [r["reason"] for r in json.loads(text)["reasons"]] if status == 503 else []
    return next((reason for reason in reasons if all(word in reason for word in words)), None)
