"""A second bridge joins under load and the first leaves in order: nothing is done twice, nothing waits for a timeout."""

from ..books import equal
from ..bridge import Bridge
from ..procs import wait_for
from ..stack import Stack
from . import new_id, scenario

WORKFLOWS = 3
EACH = 200


@scenario("handover", own_bridge=True)
def classic(stack: Stack) -> str:
    """cooperative rebalance under load: a bridge joins, the other drains; every reply settled exactly once"""
    return _handover(stack, "classic")


@scenario("handover-848", own_bridge=True)
def consumer(stack: Stack) -> str:
    """the same with group.protocol=consumer (KIP-848)"""
    return _handover(stack, "consumer")


def _handover(stack: Stack, protocol: str) -> str:
    topics = stack.handover[protocol]
    group = f"handback-{protocol}"
    # A window that the server empties well within the revoke timeout, also on a busy machine.
    more = {"kafka": {"group_protocol": protocol}, "bridge": {"max_in_flight": 16, "revoke_timeout": "7s"}}

    def bridge(n: int) -> Bridge:
        name = f"handback-{protocol}-{n}"
        return Bridge(name, group, stack.cadence, stack.kafka.brokers, topics, more)

    def shares() -> dict[str, int]:
        return {name: partitions for name, partitions in stack.kafka.members(group).items() if partitions}

    first = bridge(1).wait_ready()
    others = [first]
    try:
        ids = [new_id(protocol) for _ in range(WORKFLOWS)]
        for n, workflow in enumerate(ids):
            case = {"script": stack.script(topics=topics), "from": n * EACH, "count": EACH}
            stack.worker.start("Fan", workflow, case, seconds=280)
        stack.tail.wait("the first outcomes", topics["outcomes"], lambda r: True, count=WORKFLOWS * EACH // 6)
        second = bridge(2).wait_ready()
        others.append(second)
        wait_for("both to hold partitions", lambda: len(shares()) == 2, 60, procs=(first.proc, second.proc))
        joined = len(stack.tail.all(topics["outcomes"]))
        first.drain()
        left = len(stack.tail.all(topics["outcomes"]))
        for workflow in ids:
            equal(f"{workflow}: right answers", stack.worker.result(workflow, timeout=200), EACH)
        outcomes = stack.books.complete(group, topics)
        equal("replies with an outcome", len(outcomes), WORKFLOWS * EACH)
        equal("what became of them", {r.json["outcome"] for r in outcomes.values()}, {"applied"})
        equal("outcomes written in all", len(stack.tail.all(topics["outcomes"])), WORKFLOWS * EACH)
        second.drain()
        return (f"{protocol}: {WORKFLOWS * EACH} replies, each settled once; the second bridge had partitions after {joined} "
                f"outcomes, the first had drained after {left}")
    finally:
        for one in others:
            one.proc.stop(1)
