"""The process under test: `handback run`, or `handback dispatch`, with settings of its own."""

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

from . import build
from .cadence import Cadence
from .paths import DATA
from .procs import Failed, Proc, free_port, wait_for

# base64 of `{"domainId":` at each of the three places where it can begin, and the text itself: every task token has it.
_TOKEN = re.compile(rb"eyJkb21haW5JZCI6|\"domainId\\?\"\s*:")


def _toml(settings: dict[str, dict]) -> str:
    return "".join(f"[{table}]\n" + "".join(f"{json.dumps(k)} = {_value(v)}\n" for k, v in fields.items())
                   for table, fields in settings.items())


def _value(value) -> str:
    # JSON strings, numbers and booleans are TOML too.
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_value(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


class Bridge:
    def __init__(self, name: str, group: str, cadence: Cadence, brokers: str, topics: dict,
                 more: dict[str, dict] | None = None, command: str = "run", program: Path | None = None):
        self.name = name
        self.group = group
        port = free_port()
        self._base = f"http://127.0.0.1:{port}"
        settings = {
            "kafka": {"brokers": brokers, "group_id": group, "client_id": name, "session_timeout": "10s"},
            "topics": topics,
            "cadence": {"endpoint": f"http://{cadence.address}"},
            "bridge": {"drain_timeout": "8s"},
            "admin": {"listen": f"127.0.0.1:{port}"},
            "log": {"filter": "info,handback=debug"},
        }
        for table, fields in (more or {}).items():
            settings.setdefault(table, {}).update(fields)
        self.file = self.write_settings(name, settings)
        self.proc = Proc(name, [program or build.handback(), "--config", self.file, command])

    @staticmethod
    def write_settings(name: str, settings: dict[str, dict]) -> Path:
        file = DATA / f"{name}.toml"
        file.write_text(_toml(settings))
        return file

    def get(self, path: str, timeout: float = 5) -> tuple[int, str]:
        """Status and text of an answer; 0 when nobody listens."""
        try:
            with urllib.request.urlopen(self._base + path, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as fault:
            return fault.code, fault.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self, timeout: float = 60) -> "Bridge":
        try:
            wait_for(f"{self.name} to be ready", lambda: self.get("/readyz")[0] == 200, timeout, procs=(self.proc,))
        except Failed as fault:
            raise Failed(f"{fault}; /readyz says: {self.get('/readyz')}", self.proc.log) from None
        return self

    def metric(self, pattern: str) -> float:
        """Sum of the samples whose name and labels match."""
        text = self.get("/metrics")[1]
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines()
                   if not line.startswith("#") and re.match(pattern, line))

    def drain(self) -> None:
        """SIGTERM: it must finish what is in hand and end with 0."""
        code = self.proc.stop(30)
        if code != 0:
            raise Failed(f"{self.name} ended with code {code} after SIGTERM, not 0", self.proc.log)
        self.check_log()

    def check_log(self) -> None:
        """No line may hold a task token."""
        found = _TOKEN.search(self.proc.log.read_bytes())
        if found:
            raise Failed(f"{self.name} logged a task token at byte {found.start()}", self.proc.log)
