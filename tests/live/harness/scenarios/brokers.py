"""Three brokers, of which one dies, and then two."""

import sys

from ..books import equal, true
from ..bridge import Bridge
from ..build import handback
from ..cadence import Worker
from ..cluster import NODES, Cluster
from ..fans import Fans
from ..pair import Pair
from ..paths import SOURCES
from ..procs import Proc, wait_for
from ..stack import Site, Stack, names
from ..topics import Tail
from . import new_id, scenario

PARTITIONS = 6
WORKFLOWS = 5
EACH = 60
# How long librdkafka tries to write an outcome by itself before the bridge hears that it failed: a little more than brokers need
# to take over from a dead one.
# The load must outlast the election, however fast the machine is.
CLIENT = {"kafka.properties": {"delivery.timeout.ms": "4000"}, "cadence": {"max_calls_per_second": 40}}


@scenario("three-brokers", own_bridge=True)
def three_brokers(stack: Stack) -> str:
    """three brokers, kill -9 of the one that leads most under load, and again of two: nothing is lost, nothing committed early"""
    cluster = Cluster()
    try:
        cluster.start()
        return _play(stack, cluster)
    finally:
        cluster.stop()


def _play(stack: Stack, cluster: Cluster) -> str:
    """With topics, a worker and a service of the scenario's own."""
    topics = names("brokers-")
    _create_topics(cluster, topics)
    worker = Worker(stack.cadence, cluster.brokers, "worker-brokers")
    service = Proc("service-brokers", [sys.executable, SOURCES / "service.py", "--kafka", cluster.brokers,
                                       "--requests", topics["requests"]])
    site = Site(cluster, stack.cadence, worker, Tail(cluster.brokers, {name: PARTITIONS for name in _all(topics)}), topics)
    try:
        wait_for("the service to read its topic", lambda: sum(cluster.members("service").values()) == PARTITIONS, 60, procs=(service,))
        with Pair("brokers", site, stack.cadence, topics, CLIENT) as pair:
            # Before any broker dies: what a worker's client makes of that is not what is tried here.
            fans = pair.answered(WORKFLOWS, EACH)
            pair.start()
            said = f"{_one_dies(site, pair, fans)}; {_two_die(site, pair)}"
            pair.drain()
        return said
    finally:
        for proc in (service, worker.proc):
            proc.stop(2)
        site.tail.close()


def _all(topics: dict) -> list[str]:
    return [topics["requests"], *topics["replies"], topics["outcomes"], topics["dead_letters"]]


def _create_topics(cluster: Cluster, topics: dict) -> None:
    """As a user would, with the replication that is the default."""
    settings = Bridge.write_settings("handback-topics", {"kafka": {"brokers": cluster.brokers, "group_id": "x"}, "topics": topics})
    proc = Proc("topics-create", [handback(), "--config", settings, "topics", "create", "--partitions", PARTITIONS])
    equal("exit code of topics create", proc.wait(60), 0)
    wait_for("leaders of new topics", lambda: cluster.led({name: PARTITIONS for name in _all(topics)}), 30)
    for name in _all(topics):
        equal(f"replicas of {name}", cluster.replicas(name), {3})
        equal(f"min.insync.replicas of {name}", cluster.settings(name)["min.insync.replicas"], "2")
    cluster.set(topics["outcomes"], "message.timestamp.type", "LogAppendTime")


def _one_dies(site: Site, pair: Pair, fans: Fans) -> str:
    """The broker that leads most is killed in the middle of a load, and started again."""
    cluster = site.kafka
    killed_at = fans.wait_outcomes(0.3)
    victim = cluster.leader_of_most(_all(site.main))
    cluster.kill(victim)
    fans.finish_all()
    cluster.start_node(victim)
    counted = fans.check()
    pair.check_letters(counted.kinds["conflict"])
    cluster.wait_in_sync([*_all(site.main), "__consumer_offsets"], 3)
    pair.wait_ready()
    return f"{fans.activities} activities, broker {victim} killed after {killed_at} outcomes: {counted}"


def _two_die(site: Site, pair: Pair) -> str:
    """Replies still come in, what becomes of them cannot be recorded: unready, nothing committed, until the brokers are back."""
    cluster, topics = site.kafka, site.main
    for name in (topics["requests"], *topics["replies"]):
        cluster.set(name, "min.insync.replicas", "1")
    before = cluster.committed(pair.group, topics["replies"][0])
    gone = NODES[1:]
    for node in gone:
        cluster.kill(node)
    cluster.wait_in_sync([*_all(topics), "__consumer_offsets"], 1)
    workflow = new_id("brokers")
    site.worker.start("Single", workflow, {"script": site.script([{"reply": {"result": "kept"}}]), "want": "string"})
    reply = site.replies_of(workflow, 1)[0]
    # The engine has it: what is missing is the record of that.
    equal("what the workflow saw", site.worker.result(workflow), {"kind": "value", "value": "kept", "details": None})
    said = pair.wait_unready(topics["outcomes"], "min.insync.replicas")
    equal("committed offsets", cluster.committed(pair.group, topics["replies"][0]), before)
    for node in gone:
        cluster.start_node(node)
    site.books.check(reply, "applied", "complete", token=reply.json["task_token"], named=False)
    pair.wait_ready()
    first = site.books.complete(pair.group, topics)
    true("the reply has its outcome", reply.source in first)
    return f"two brokers killed, /readyz: {said!r}"
