"""What tests ask of Kafka brokers, whoever started them, and how a broker's folder is made."""

import base64
import shutil
import uuid
from pathlib import Path

from confluent_kafka import (Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicCollection,
                             TopicPartition)
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from .build import KAFKA_JARS
from .procs import Failed, Proc, wait_for

# What is said of a group that is not there yet, or whose coordinator is not.
_NO_GROUP_YET = (KafkaError.GROUP_ID_NOT_FOUND, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE,
                 KafkaError.NOT_COORDINATOR, KafkaError.REQUEST_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError._TRANSPORT)

_kept: list[AdminClient] = []


def java(heap_mib: int, *flags: str) -> list[str]:
    """The command of a Java program among the broker's jars, but for its main class."""
    if shutil.which("java") is None:
        raise Failed("java is missing, and the Kafka broker needs it (17 or newer)")
    return ["java", f"-Xms{heap_mib}m", f"-Xmx{heap_mib}m", *flags, "-cp", f"{KAFKA_JARS}/*"]


def new_cluster_id() -> str:
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # It may not begin with a dash: the tool takes it for an option.
    return "A" + text[1:] if text.startswith("-") else text


def format_folder(cluster_id: str, settings: Path) -> None:
    tool = [*java(128, "-XX:TieredStopAtLevel=1"), "kafka.tools.StorageTool"]
    form = Proc("kafka-format", [*tool, "format", "-t", cluster_id, "-c", settings])
    code = form.wait(60)
    form.stop()
    if code != 0:
        raise Failed("formatting the broker's folder failed", form.log)


def settings_of(topic: str) -> dict[str, str]:
    """Outcomes bear the time at which the broker took them, so that commits can be compared with it (`commits.py`)."""
    return {"message.timestamp.type": "LogAppendTime"} if topic.endswith("activity-outcomes") else {}


class Brokers:
    """What a test asks of a cluster. `brokers` and `admin` are set once it runs."""

    brokers: str
    admin: AdminClient

    def connect(self) -> None:
        """Also again, for a client that does not find its way from brokers that are gone."""
        if hasattr(self, "admin"):
            # Never let go of: to free a client of a broker that is gone can take for ever.
            _kept.append(self.admin)
        self.admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0, "socket.timeout.ms": 10_000})

    def answers(self) -> bool:
        try:
            return bool(self.admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def create_topics(self, topics: dict[str, int], settings: dict[str, str] | None = None) -> None:
        made = self.admin.create_topics([NewTopic(name, partitions, 1, config=settings_of(name) | (settings or {}))
                                         for name, partitions in topics.items()])
        for future in made.values():
            future.result(30)
        # Created is not yet led: a producer that asks too early is told the topic does not exist.
        wait_for("leaders of new topics", lambda: self.led(topics), 30)

    def delete_topic(self, topic: str) -> None:
        self.admin.delete_topics([topic])[topic].result(30)
        wait_for(f"the end of {topic}", lambda: topic not in self.admin.list_topics(timeout=5).topics, 30)

    def add_partitions(self, topics: dict[str, int]) -> None:
        """To so many in all."""
        wait_for("new partitions", lambda: all(self._grown(name, count) for name, count in topics.items()), 30)
        wait_for("leaders of new partitions", lambda: self.led(topics), 30)

    def _grown(self, topic: str, partitions: int) -> bool:
        """A broker that got no CPU for a while is out of the controller's sight for a moment: it can be asked again."""
        try:
            self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(30)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.INVALID_REPLICATION_FACTOR:
                return False
            # An earlier try had its way after all.
            known = self.admin.list_topics(timeout=5).topics
            if error.args[0].code() != KafkaError.INVALID_PARTITIONS or len(known[topic].partitions) != partitions:
                raise
        return True

    def topic_id(self, topic: str) -> str:
        """As Kafka's own tools print it; librdkafka takes the other alphabet of base64."""
        return str(self.admin.describe_topics(TopicCollection([topic]))[topic].result(30).topic_id).translate(str.maketrans("+/", "-_"))

    def forget(self, topic: str) -> None:
        """As retention does in time: every record that is there now is gone."""
        ends = [TopicPartition(topic, p, end) for p, end in self.ends(topic).items()]
        for future in self.admin.delete_records(ends).values():
            future.result(30)

    def led(self, topics: dict[str, int]) -> bool:
        known = self.admin.list_topics(timeout=5).topics
        return all(t in known and len(known[t].partitions) == n and all(p.leader >= 0 for p in known[t].partitions.values())
                   for t, n in topics.items())

    def ends(self, topic: str) -> dict[int, int]:
        """End offset of each partition."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "ends", "log_level": 0})
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in partitions}
        finally:
            consumer.close()

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Committed offset of each partition that has one. Waits while the group's coordinator moves."""
        return wait_for(f"the coordinator of {group}", lambda: self._committed(group, topic), 60)[0]

    def _committed(self, group: str, topic: str) -> tuple[dict[int, int]] | None:
        ask = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=5)
        try:
            answer = ask[group].result(10)
        except TimeoutError:
            self.connect()
            return None
        except KafkaException as fault:
            if fault.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return ({},)
            if fault.args[0].code() in _NO_GROUP_YET:
                self.connect()
                return None
            raise
        return ({p.partition: p.offset for p in answer.topic_partitions if p.topic == topic and p.offset >= 0},)

    def members(self, group: str) -> dict[str, int]:
        """Partitions that each member of a group holds, by client id. Empty while the group or its coordinator is not there."""
        try:
            described = self.admin.describe_consumer_groups([group], request_timeout=3)[group].result(10)
        except KafkaException as fault:
            if fault.args[0].code() in _NO_GROUP_YET:
                return {}
            raise
        return {m.client_id: len(m.assignment.topic_partitions) for m in described.members}
