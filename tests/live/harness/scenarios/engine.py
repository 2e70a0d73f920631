"""The engine dies and comes back, or only a part of it is gone: replies wait, none loses an attempt, all end as they must."""

import signal
from contextlib import contextmanager
from typing import Iterator

from ..books import equal, true
from ..cadence import Cadence, Worker
from ..pair import Pair
from ..procs import Failed
from ..proxy import Proxy, Way
from ..stack import Site, Stack
from . import scenario

# A workflow is a key and so on one partition: enough of them that one bridge at least sees more than breaker.min_workflows fail.
# (The other may have too few left by then: its replies are tried again each for itself.)
WORKFLOWS = 32
EACH = 24
# Calls a second of each bridge: the load must outlast the fault, however fast the machine is and whoever gets partitions first.
PACE = 60


@scenario("engine-restart", own_bridge=True)
def restart(stack: Stack) -> str:
    """kill -9 of the Cadence server under load: the breaker opens, /readyz says why; started again, everything is applied"""
    cadence, topics = Cadence("cadence-restart"), stack.faults["engine"]
    more = {"cadence": {"max_calls_per_second": PACE}}
    with _site(stack, cadence, topics) as site, Pair("engine", site, cadence, topics, more) as pair:
        fans = pair.answered(WORKFLOWS, EACH)
        pair.start()
        fans.wait_outcomes(0.2)
        cadence.proc.signal(signal.SIGKILL)
        equal("exit code of the engine", cadence.proc.wait(10), -signal.SIGKILL)
        said = pair.wait_breaker_open()
        settled = len(stack.tail.all(topics["outcomes"]))
        true("the engine was killed amid the work", settled < fans.replies, settled)
        cadence.start()
        fans.finish_all()
        counted = fans.check()
        pair.check_letters(counted.kinds["conflict"])
        pair.wait_ready()
        pair.drain()
    return f"{fans.activities} activities, killed after {settled} of {fans.replies} outcomes; /readyz: {said!r}; {counted}"


@scenario("history-gone", own_bridge=True)
def history_gone(stack: Stack) -> str:
    """history frozen, then unreachable, while the frontend answers: the breaker opens both times, everything is applied"""
    cadence, topics = Cadence("cadence-history"), stack.faults["history"]
    history = Proxy(cadence.history_port)
    cadence.history_at = history.port
    said = []
    # A call that history does not answer ends at its deadline: not to be waited for as long as by default.
    more = {"cadence": {"call_timeout": "2s", "max_calls_per_second": PACE}}
    with _site(stack, cadence, topics) as site, Pair("history", site, cadence, topics, more) as pair:
        fans = pair.answered(WORKFLOWS, EACH)
        pair.start()
        for share, way in ((0.2, Way.FROZEN), (0.4, Way.CUT)):
            fans.wait_outcomes(share)
            history.be(way)
            said.append(pair.wait_breaker_open())
            true("history went amid the work", len(stack.tail.all(topics["outcomes"])) < fans.replies)
            true("the frontend answers", site.worker.domain())
            true("and cannot reach history", not _reaches_history(site, fans.ids[0]))
            history.be(Way.OPEN)
            pair.wait_ready()
        fans.finish_all()
        counted = fans.check()
        pair.check_letters(counted.kinds["conflict"])
        pair.drain()
    history.close()
    return f"{fans.activities} activities; /readyz: {said[0]!r}, {said[1]!r}; {counted}"


@contextmanager
def _site(stack: Stack, cadence: Cadence, topics: dict) -> Iterator[Site]:
    """An engine of the scenario's own, with a worker, beside everything else of the stack."""
    cadence.start()
    try:
        worker = Worker(cadence, stack.kafka.brokers, f"worker-{cadence.name}")
        try:
            yield Site(stack.kafka, cadence, worker, stack.tail, topics)
        finally:
            worker.proc.stop(2)
    finally:
        cadence.proc.stop(5)


def _reaches_history(site: Site, workflow: str) -> bool:
    try:
        return bool(site.worker.describe(workflow))
    except Failed:
        return False
