"""Processes: each in a group of its own, with a log, and on a list that outlives this program."""

import os
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from .paths import GROUPS, LOGS

_lock = threading.Lock()
_running: list["Proc"] = []
# Set once everything is being stopped: whoever still wants to start something comes too late.
_closing = False


class Failed(Exception):
    """Something cannot run or did not do what it must. `log` names the file that may tell more."""

    def __init__(self, message: str, log: Path | None = None):
        super().__init__(message)
        self.log = log


class NotAsked(Failed):
    """The engine's worker did not publish a request in time: handback had no part in it yet."""


def _start_time(pid: int) -> str | None:
    """Clock tick at which a process started: tells it from a later one with the same id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


class Proc:
    def __init__(self, name: str, argv: list, env: dict | None = None, cwd: Path | None = None):
        self.name = name
        self.log = LOGS / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with _lock, self.log.open("ab") as out:
            if _closing:
                raise Failed("stopping")
            self._popen = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True)
            self.pid = self._popen.pid
            _running.append(self)
            with GROUPS.open("a") as f:
                f.write(f"{self.pid} {_start_time(self.pid)}\n")

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    def must_run(self) -> None:
        if self.returncode is not None:
            raise Failed(f"{self.name} ended with code {self.returncode}", self.log)

    def signal(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def wait(self, timeout: float) -> int:
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} still runs after {timeout:.0f} s", self.log) from None

    def kill(self) -> None:
        """SIGKILL, and waits for the end. Harmless to one that has ended."""
        self.signal(signal.SIGKILL)
        self.wait(10)
        with _lock:
            if self in _running:
                _running.remove(self)

    def stop(self, grace: float = 15.0) -> int:
        """SIGTERM, then SIGKILL to the whole group. Returns the exit code."""
        if self.returncode is None:
            self.signal(signal.SIGTERM)
            try:
                self._popen.wait(grace)
            except subprocess.TimeoutExpired:
                pass
        self.signal(signal.SIGKILL)
        code = self._popen.wait()
        with _lock:
            if self in _running:
                _running.remove(self)
        return code


def stop_all() -> None:
    """Newest first: users of a server before the server."""
    global _closing
    with _lock:
        _closing = True
        todo = list(reversed(_running))
    for proc in todo:
        proc.stop()
    GROUPS.unlink(missing_ok=True)


def sweep() -> None:
    """Kills what a run that could not clean up has left behind."""
    if not GROUPS.exists():
        return
    for entry in GROUPS.read_text().splitlines():
        pid, _, started = entry.partition(" ")
        # The leader of a group is the process recorded; without it nothing proves that the group is ours.
        if started and _start_time(int(pid)) == started:
            try:
                os.killpg(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
    GROUPS.unlink(missing_ok=True)


def _free(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


_taken: set[int] = set()


def free_port(offsets: tuple[int, ...] = (0,)) -> int:
    """A port such that it and those at the offsets are free. Below the range from which outgoing connections pick."""
    for _ in range(500):
        base = random.randrange(15_000, 30_000)
        ports = {base + o for o in offsets}
        if not ports & _taken and all(map(_free, ports)):
            _taken.update(ports)
            return base
    raise Failed("no free loopback ports between 15000 and 30000")


def wait_for(what: str, check, timeout: float = 60.0, every: float = 0.1, procs: tuple[Proc, ...] = ()):
    """Returns the first true answer of `check`. Fails when time is up or a process that it depends on has ended."""
    deadline = time.monotonic() + timeout
    while True:
        for proc in procs:
            proc.must_run()
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failed(f"waited {timeout:.0f} s for {what}", procs[0].log if procs else None)
        time.sleep(every)
