"""The examples of `examples/`, built and started as their READMEs say."""

import sys

from .build import GO_EXAMPLE, rust_example, stamped
from .paths import EXAMPLES
from .procs import Proc

_SPRING = EXAMPLES / "spring-service"
_SPRING_JAR = _SPRING / "target" / "spring-service.jar"
_JAVA = EXAMPLES / "java-worker"
_JAVA_JAR = _JAVA / "target" / "java-worker.jar"
_NODE = EXAMPLES / "node-service"


# A short life gains nothing from the compiler's last optimisation.
_JVM = ["java", "-XX:TieredStopAtLevel=1", "-Xmx192m"]


def requests(name: str) -> str:
    """The request topic of an example."""
    return f"{name}-requests"


def _java() -> bool:
    # One after the other: two Mavens at once may spoil each other's downloads.
    command = ["mvn", "--batch-mode", "--quiet", "package"]
    built = stamped("spring-service", _SPRING, _SPRING_JAR, command, {})
    return stamped("java-worker", _JAVA, _JAVA_JAR, command, {}) or built


def _node() -> bool:
    return stamped("node-service", _NODE, _NODE / "node_modules", ["npm", "ci", "--no-audit", "--no-fund"], {})


# What `build.build_all` builds beside the rest.
BUILDS = {"java examples": _java, "node example": _node}


def spring(brokers: str, topic: str) -> Proc:
    return Proc("spring-service", [*_JVM, "-jar", _SPRING_JAR, f"--spring.kafka.bootstrap-servers={brokers}", f"--requests={topic}"])


def approval(brokers: str, topics: dict, name: str, *more: str) -> Proc:
    """With the Kafka client of the tests, which is of the version that the example asks for."""
    return Proc(name, [sys.executable, EXAMPLES / "python-approval" / "approve.py", "--kafka", brokers, "--group", name,
                       "--requests", requests(name), "--outcomes", topics["outcomes"], *more])


def node(brokers: str, topics: dict, name: str, *more: str) -> Proc:
    return Proc(name, ["node", _NODE / "service.js", "--kafka", brokers, "--group", name,
                       "--requests", requests(name), "--outcomes", topics["outcomes"], *more])


def rust(brokers: str, topic: str) -> Proc:
    return Proc("rust-service", [rust_example(), brokers, topic])


def go_worker(cadence: str, domain: str, brokers: str, topics: dict, name: str, workflow: str) -> Proc:
    """Ends when its workflow has ended, and has printed the result."""
    return Proc(f"{name}-client", [GO_EXAMPLE, "-cadence", cadence, "-domain", domain, "-kafka", brokers, "-requests", requests(name),
                                   "-replies", topics["replies"][0], "-id", workflow])


def java_worker(cadence: str, domain: str, brokers: str, topics: dict, workflow: str, amount: int, **more: str) -> Proc:
    """Ends when its workflow has ended, and has printed the result."""
    said = {"cadence": cadence, "domain": domain, "kafka": brokers, "requests": topics["requests"], "replies": topics["replies"][0],
            "id": workflow, "amount": amount,
            # Of its own: a worker that ends must not have taken up what is another's.
            "taskList": workflow, **more}
    return Proc(workflow, [*_JVM, *(f"-D{name}={value}" for name, value in said.items()), "-jar", _JAVA_JAR])
