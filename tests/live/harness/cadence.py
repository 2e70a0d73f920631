"""A real Cadence server, and the Go worker through whose driver the scenarios use it."""

import base64
import json
import socket
import urllib.error
import urllib.parse
import urllib.request

from .build import CADENCE_SERVER, WORKER
from .paths import DATA
from .procs import Failed, Proc, free_port, wait_for
from .topics import Rec

DOMAIN = "live"


def _b64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _raw(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def open_port(port: int) -> bool:
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Cadence:
    def __init__(self, name: str = "cadence") -> None:
        self.name = name
        # Port at which the other services look for history, when a test stands between them.
        self.history_at: int | None = None
        # Frontend, history, matching; TChannel ports are 100 higher.
        self.port = free_port((0, 1, 2, 100, 101, 102))
        self.address = f"127.0.0.1:{self.port}"

    @property
    def history_port(self) -> int:
        return self.port + 1

    def start(self) -> None:
        """Also again after it was killed: what it knows is in files."""
        behind = [] if self.history_at is None else ["-history-at", self.history_at]
        self.proc = Proc(self.name, [CADENCE_SERVER, "-dir", DATA / self.name, "-port", self.port, *behind])
        wait_for("the Cadence frontend", lambda: open_port(self.port), 60, procs=(self.proc,))


class Worker:
    """Starts workflows and tells what they saw."""

    def __init__(self, cadence: Cadence, brokers: str, name: str = "worker"):
        port = free_port()
        self._base = f"http://127.0.0.1:{port}"
        self.proc = Proc(name, [WORKER, "-cadence", cadence.address, "-domain", DOMAIN, "-kafka", brokers,
                                "-task-list", name, "-listen", f"127.0.0.1:{port}"])
        # The port opens after the domain is registered and the worker polls.
        wait_for("the Go worker", lambda: open_port(port), 90, procs=(self.proc, cadence.proc))

    def _call(self, path: str, query: dict | None = None, body: dict | None = None, post: bool = False, timeout: float = 300):
        self.proc.must_run()
        url = self._base + path + ("?" + urllib.parse.urlencode(query) if query else "")
        data = json.dumps(body).encode() if body is not None else b"" if post else None
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as fault:
            raise Failed(f"{path} {query or ''}: {fault.read().decode().strip()}", self.proc.log) from None
        except TimeoutError:
            raise Failed(f"{path} {query or ''}: no answer within {timeout:.0f} s", self.proc.log) from None

    def start(self, workflow: str, workflow_id: str, case: dict, seconds: int = 300) -> str:
        body = {"workflow": workflow, "id": workflow_id, "input": case, "seconds": seconds}
        return self._call("/start", body=body)["run_id"]

    def result(self, workflow_id: str, timeout: float = 90):
        """Result of a workflow, once it is closed. Fails when the workflow did."""
        return self._call("/result", {"id": workflow_id}, timeout=timeout)

    def report(self, workflow_id: str, timeout: float = 60) -> dict:
        """What a workflow saw that is still open."""
        def ask():
            try:
                return self._call("/report", {"id": workflow_id}, timeout=30)
            except Failed:
                return None
        return wait_for(f"the report of {workflow_id}", ask, timeout, every=0.3)

    def signal(self, workflow_id: str, name: str) -> None:
        self._call("/signal", {"id": workflow_id, "name": name}, post=True)

    def terminate(self, workflow_id: str) -> None:
        self._call("/terminate", {"id": workflow_id}, post=True)

    def domain(self) -> dict:
        """What the frontend says of the domain, which it does without the rest of the engine."""
        return self._call("/domain", timeout=10)

    def describe(self, workflow_id: str) -> dict:
        return self._call("/describe", {"id": workflow_id}, timeout=5)

    def history(self, workflow_id: str) -> list[dict]:
        return self._call("/history", {"id": workflow_id})

    def produce(self, topic: str, partition: int, key: bytes | None, value: bytes | None,
                headers: list[tuple[bytes, bytes | None]]) -> tuple[str, int, int]:
        """Writes a record whose header names are any bytes. Returns where it is."""
        body = {"topic": topic, "partition": partition, "key": _b64(key), "value": _b64(value),
                "headers": [{"name": _b64(name), "value": _b64(v)} for name, v in headers]}
        written = self._call("/produce", body=body, timeout=30)
        return topic, written["partition"], written["offset"]

    def records(self, topic: str) -> list[Rec]:
        """All records of a topic; names of their headers are bytes."""
        return [Rec(r["topic"], r["partition"], r["offset"], r["timestamp"], _raw(r["key"]), _raw(r["value"]),
                    [(_raw(h["name"]) or b"", _raw(h["value"])) for h in r["headers"] or []])
                for r in self._call("/records", {"topic": topic}, timeout=30)]

    def events(self, workflow_id: str, kind: str) -> list[dict]:
        """Attributes of the history events of one kind, e.g. ActivityTaskCompleted."""
        field = kind[0].lower() + kind[1:] + "EventAttributes"
        return [e[field] for e in self.history(workflow_id) if e["eventType"] == kind]
