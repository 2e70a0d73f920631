"""The examples of `examples/`, built and started as their READMEs say."""

from .build import stamped
from .paths import EXAMPLES
from .procs import Proc

_SPRING = EXAMPLES / "spring-service"
_SPRING_JAR = _SPRING / "target" / "spring-service.jar"


def _spring() -> bool:
    return stamped("spring-service", _SPRING, _SPRING_JAR, ["mvn", "--batch-mode", "--quiet", "package"], {})


# What `build.build_all` builds beside the rest.
BUILDS = {"spring-service": _spring}


def spring(brokers: str, requests: str) -> Proc:
    # One core less for the compiler: a short life gains nothing from the last optimisation.
    return Proc("spring-service", ["java", "-XX:TieredStopAtLevel=1", "-Xmx192m", "-jar", _SPRING_JAR,
                                   f"--spring.kafka.bootstrap-servers={brokers}", f"--requests={requests}"])
