"""The examples of `examples/`, built and started as their READMEs say."""

import sys

from .build import GO_EXAMPLE, stamped
from .paths import EXAMPLES
from .procs import Proc

_SPRING = EXAMPLES / "spring-service"
_SPRING_JAR = _SPRING / "target" / "spring-service.jar"
_NODE = EXAMPLES / "node-service"


def requests(name: str) -> str:
    """The request topic of an example."""
    return f"{name}-requests"


def _spring() -> bool:
    return stamped("spring-service", _SPRING, _SPRING_JAR, ["mvn", "--batch-mode", "--quiet", "package"], {})


def _node() -> bool:
    return stamped("node-service", _NODE, _NODE / "node_modules", ["npm", "ci", "--no-audit", "--no-fund"], {})


# What `build.build_all` builds beside the rest.
BUILDS = {"spring-service": _spring, "node-service": _node}


def spring(brokers: str, topic: str) -> Proc:
    # A short life gains nothing from the compiler's last optimisation.
    return Proc("spring-service", ["java", "-XX:TieredStopAtLevel=1", "-Xmx192m", "-jar", _SPRING_JAR,
                                   f"--spring.kafka.bootstrap-servers={brokers}", f"--requests={topic}"])


def approval(brokers: str, topics: dict, name: str, *more: str) -> Proc:
    """With the Kafka client of the tests, which is of the version that the example asks for."""
    return Proc(name, [sys.executable, EXAMPLES / "python-approval" / "approve.py", "--kafka", brokers, "--group", name,
                       "--requests", requests(name), "--outcomes", topics["outcomes"], *more])


def node(brokers: str, topics: dict, name: str, *more: str) -> Proc:
    return Proc(name, ["node", _NODE / "service.js", "--kafka", brokers, "--group", name,
                       "--requests", requests(name), "--outcomes", topics["outcomes"], *more])


def go_worker(cadence: str, domain: str, brokers: str, topics: dict, name: str, workflow: str) -> Proc:
    """Ends when its workflow has ended, and has printed the result."""
    return Proc(f"{name}-client", [GO_EXAMPLE, "-cadence", cadence, "-domain", domain, "-kafka", brokers, "-requests", requests(name),
                                   "-replies", topics["replies"][0], "-id", workflow])
