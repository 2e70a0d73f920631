"""A real Kafka broker (KRaft, one node): a listener without authentication for the tests, one with SCRAM for handback, and one
behind a proxy, for whoever shall lose the broker alone."""

from confluent_kafka.admin import (AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType,
                                   ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion)

from .brokers import Brokers, format_folder, java, new_cluster_id
from .paths import DATA
from .procs import Proc, free_port, wait_for
from .proxy import Proxy

_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},PROXIED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},PROXIED://{proxy}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
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


class Kafka(Brokers):
    def __init__(self) -> None:
        self.port, self.secure_port, controller = free_port(), free_port(), free_port()
        self.brokers = f"127.0.0.1:{self.port}"
        self.secure_brokers = f"127.0.0.1:{self.secure_port}"
        behind = free_port()
        self.proxy = Proxy(behind)
        self.cluster_id = new_cluster_id()
        folder = DATA / "kafka"
        folder.mkdir(parents=True)
        self._settings = folder / "server.properties"
        self._settings.write_text(_SETTINGS.format(plain=self.port, secure=self.secure_port, controller=controller,
                                                   behind=behind, proxy=self.proxy.address, data=folder / "log"))

    def start(self) -> None:
        format_folder(self.cluster_id, self._settings)
        self.proc = Proc("kafka", [*java(384), "kafka.Kafka", self._settings])
        self.connect()
        wait_for("the Kafka broker", self.answers, 60, procs=(self.proc,))

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
