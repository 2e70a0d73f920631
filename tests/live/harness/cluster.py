"""Three brokers and a controller of their own (KRaft), each a process that can be killed and started again.

The controller stays: without it nobody shrinks the set of in-sync replicas, and a broker whose peers are gone would let
producers wait instead of telling them that too few replicas are in sync.
"""

import base64
import shutil
import uuid
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from .brokers import Brokers, format_folder, java, new_cluster_id
from .paths import DATA
from .procs import Proc, free_port, wait_for

NODES = (1, 2, 3)
_CONTROLLER = 100
_SETTINGS = """\
process.roles={role}
node.id={node}
controller.quorum.voters=100@127.0.0.1:{controller}
listeners={listener}://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=3
# Groups and their offsets go on with one broker, so that a bridge which commits nothing does so of its own accord.
min.insync.replicas=1
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# How long a dead broker keeps the lead of its partitions.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=2
log.cleaner.enable=false
"""


class Cluster(Brokers):
    def __init__(self) -> None:
        self._cluster_id, self._controller_port = new_cluster_id(), free_port()
        self._ports = {node: free_port() for node in NODES}
        self.brokers = ",".join(f"127.0.0.1:{port}" for port in self._ports.values())
        self.procs: dict[int, Proc] = {}

    def start(self) -> None:
        first = self._write(_CONTROLLER, "controller", "CONTROLLER", self._controller_port)
        format_folder(self._cluster_id, first)
        for node, port in self._ports.items():
            self._write(node, "broker", "PLAINTEXT", port)
            self._format_like_controller(node)
        for node in (_CONTROLLER, *NODES):
            self.start_node(node)
        self.connect()
        wait_for("three brokers", lambda: self.alive() == set(NODES), 90, procs=tuple(self.procs.values()))

    @staticmethod
    def _folder(node: int) -> Path:
        return DATA / "cluster" / str(node)

    def _write(self, node: int, role: str, listener: str, port: int) -> Path:
        folder = self._folder(node)
        folder.mkdir(parents=True)
        settings = folder / "server.properties"
        settings.write_text(_SETTINGS.format(role=role, node=node, controller=self._controller_port, listener=listener, port=port,
                                             data=folder / "log"))
        return settings

    def _format_like_controller(self, node: int) -> None:
        """A formatted folder differs from another in two names; the tool takes seconds for each."""
        to = self._folder(node) / "log"
        shutil.copytree(self._folder(_CONTROLLER) / "log", to)
        own = {"node.id": str(node), "directory.id": base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")}
        lines = [line.partition("=") for line in (to / "meta.properties").read_text().splitlines()]
        (to / "meta.properties").write_text("".join(f"{k}{eq}{own.get(k, v)}\n" for k, eq, v in lines))

    def start_node(self, node: int) -> None:
        """Also again after it was killed."""
        heap = java(192, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
        self.procs[node] = Proc(f"broker-{node}", [*heap, "kafka.Kafka", self._folder(node) / "server.properties"])

    def kill(self, node: int) -> None:
        """kill -9."""
        self.procs[node].kill()

    def stop(self) -> None:
        for proc in self.procs.values():
            proc.kill()

    def alive(self) -> set[int]:
        try:
            return set(self.admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return set()

    def leader_of_most(self, topics: list[str]) -> int:
        """The broker that leads the most partitions of these topics."""
        known = self.admin.list_topics(timeout=10).topics
        leaders = [p.leader for t in topics for p in known[t].partitions.values()]
        return max(NODES, key=leaders.count)

    def in_sync(self, topics: list[str]) -> set[int]:
        """Numbers of in-sync replicas that partitions of these topics have."""
        try:
            known = self.admin.list_topics(timeout=2).topics
        except KafkaException:
            return set()
        return {len(p.isrs) for t in topics for p in known[t].partitions.values()}

    def wait_in_sync(self, topics: list[str], replicas: int) -> None:
        wait_for(f"{replicas} in-sync replicas of all partitions", lambda: self.in_sync(topics) == {replicas}, 60, every=0.2)

    def settings(self, topic: str) -> dict[str, str]:
        """Of a topic that every broker will know soon: which one is asked is not ours to choose."""
        asked = ConfigResource(ResourceType.TOPIC, topic)

        def ask() -> dict[str, str] | None:
            try:
                return {name: entry.value for name, entry in self.admin.describe_configs([asked])[asked].result(10).items()}
            except KafkaException as fault:
                if fault.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return None
                raise

        return wait_for(f"the settings of {topic}", ask, 30)

    def replicas(self, topic: str) -> set[int]:
        return {len(p.replicas) for p in self.admin.list_topics(timeout=10).topics[topic].partitions.values()}

    def set(self, topic: str, name: str, value: str) -> None:
        change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)])
        for future in self.admin.incremental_alter_configs([change]).values():
            future.result(10)
