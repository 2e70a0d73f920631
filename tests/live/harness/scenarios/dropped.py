"""A network that lets calls through and loses answers."""

import os
import random
import threading

from ..books import true
from ..pair import Pair
from ..proxy import Proxy, Way
from ..stack import Stack
from . import scenario

WORKFLOWS = 12
EACH = 60
# Seconds of good and of bad weather on average. Irregular: a steady beat could keep pace with the probes of an open breaker.
GOOD, BAD = 0.7, 0.3


@scenario("dropped-answers", own_bridge=True)
def dropped_answers(stack: Stack) -> str:
    """answers of the engine lost a third of the time after it applied them: applied once each, and known from history"""
    topics, proxy = stack.faults["dropped"], Proxy(stack.cadence.port)
    seed = int(os.environ.get("HANDBACK_LIVE_SEED", str(random.randrange(1_000_000))))
    with Pair("dropped", stack, proxy, topics) as pair:
        fans = pair.answered(WORKFLOWS, EACH)
        over = threading.Event()
        weather = threading.Thread(target=_spoil, args=(proxy, over, random.Random(seed)), daemon=True)
        weather.start()
        try:
            pair.start()
            fans.finish_all()
            fans.wait_outcomes(1.0)
        finally:
            over.set()
            weather.join()
        counted = fans.check()
        true("answers were lost after they were applied", counted.evidence.get("history", 0) >= 10, counted)
        pair.check_letters(counted.kinds["conflict"])
        pair.wait_ready()
        pair.drain()
    proxy.close()
    return f"{fans.activities} activities, {proxy.lost} bytes of answers lost (seed {seed}): {counted}"


def _spoil(proxy: Proxy, over: threading.Event, chance: random.Random) -> None:
    while not over.wait(GOOD * chance.uniform(0.3, 1.7)):
        proxy.be(Way.MUTE)
        over.wait(BAD * chance.uniform(0.3, 1.7))
        proxy.be(Way.OPEN)
