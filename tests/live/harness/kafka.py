"""A real Kafka broker (KRaft, one node): a listener without authentication for the tests, one with SCRAM for handback."""

import base64
import shutil
import uuid

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (AclBinding, AclOperation, AclPermissionType, AdminClient, NewTopic, ResourcePatternType,
                                   ResourceType, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion)

from .build import KAFKA_JARS
from .paths import DATA
from .procs import Failed, Proc, free_port, wait_for

_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{secure}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.secure.scram-sha-256.sasl.jaas.config=\\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
# Who comes without credentials is the tests themselves; a SCRAM user may do what an ACL allows and nothing else.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
log.cleaner.enable=false
"""


class Kafka:
    def __init__(self) -> None:
        self.port, self.secure_port, controller = free_port(), free_port(), free_port()
        self.brokers = f"127.0.0.1:{self.port}"
        self.secure_brokers = f"127.0.0.1:{self.secure_port}"
        self.cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if shutil.which("java") is None:
            raise Failed("java is missing, and the Kafka broker needs it (17 or newer)")
        folder = DATA / "kafka"
        folder.mkdir(parents=True)
        self._settings = folder / "server.properties"
        self._settings.write_text(_SETTINGS.format(plain=self.port, secure=self.secure_port, controller=controller,
                                                   data=folder / "log"))

    def start(self) -> None:
        java = ["java", "-cp", f"{KAFKA_JARS}/*"]
        # A cluster id may not begin with a dash: the tool takes it for an option.
        if self.cluster_id.startswith("-"):
            self.cluster_id = "A" + self.cluster_id[1:]
        form = Proc("kafka-format", [*java, "kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", self._settings])
        code = form.wait(60)
        form.stop()
        if code != 0:
            raise Failed("formatting the broker's folder failed", form.log)
        self.proc = Proc("kafka", ["java", "-Xms384m", "-Xmx384m", *java[1:], "kafka.Kafka", self._settings])
        self.admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0, "socket.timeout.ms": 10_000})
        wait_for("the Kafka broker", self._answers, 60, procs=(self.proc,))

    def _answers(self) -> bool:
        try:
            return bool(self.admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def create_topics(self, topics: dict[str, int]) -> None:
        made = self.admin.create_topics([NewTopic(name, partitions, 1) for name, partitions in topics.items()])
        for future in made.values():
            future.result(30)
        # Created is not yet led: a producer that asks too early is told the topic does not exist.
        wait_for("leaders of new topics", lambda: self._led(topics), 30)

    def _led(self, topics: dict[str, int]) -> bool:
        known = self.admin.list_topics(timeout=5).topics
        return all(t in known and len(known[t].partitions) == n and all(p.leader == 1 for p in known[t].partitions.values())
                   for t, n in topics.items())

    def add_user(self, name: str, password: str) -> None:
        change = UserScramCredentialUpsertion(name, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), password.encode())
        for future in self.admin.alter_user_scram_credentials([change]).values():
            future.result(30)

    def _bindings(self, user: str, rules: list[tuple[str, str, str]]) -> list[AclBinding]:
        return [AclBinding(ResourceType[kind], name, ResourcePatternType.LITERAL, f"User:{user}", "*",
                           AclOperation[operation], AclPermissionType.ALLOW) for kind, name, operation in rules]

    def allow(self, user: str, rules: list[tuple[str, str, str]]) -> None:
        """Rules are (TOPIC or GROUP, name, operation)."""
        for future in self.admin.create_acls(self._bindings(user, rules)).values():
            future.result(30)

    def ends(self, topic: str) -> dict[int, int]:
        """End offset of each partition."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "ends", "log_level": 0})
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in partitions}
        finally:
            consumer.close()

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Committed offset of each partition that has one."""
        ask = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        try:
            answer = ask[group].result(10)
        except KafkaException as fault:
            if fault.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return {}
            raise
        return {p.partition: p.offset for p in answer.topic_partitions if p.topic == topic and p.offset >= 0}

    def members(self, group: str) -> dict[str, int]:
        """Partitions that each member of a group holds, by client id. Empty while the group or its coordinator is not there."""
        try:
            described = self.admin.describe_consumer_groups([group], request_timeout=3)[group].result(10)
        except KafkaException as fault:
            if fault.args[0].code() in (KafkaError.GROUP_ID_NOT_FOUND, KafkaError._TIMED_OUT):
                return {}
            raise
        return {m.client_id: len(m.assignment.topic_partitions) for m in described.members}
