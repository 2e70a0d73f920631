"""Builds what is missing, all at once; each artefact is rebuilt only when its sources change."""

import hashlib
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

from . import term
from .paths import EXAMPLES, LIVE, ROOT, SOURCES
from .procs import Failed, Proc

CADENCE_SERVER = LIVE / "bin" / "cadence-server"
WORKER = LIVE / "bin" / "worker"
GO_EXAMPLE = LIVE / "bin" / "go-worker"
KAFKA_JARS = LIVE / "kafka"
# Folders that builds write into.
_BUILT = {"target", "node_modules", "__pycache__"}
_MAVEN_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


RUST_EXAMPLE = "rust-service"

# The released version that a rolling upgrade begins with, and its last commit.
EARLIER = "0.1.0"
_EARLIER_COMMIT = "a3d9bb29558cdca300db9b1386016561c43db13a"


def _target() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def handback() -> Path:
    """The binary under test."""
    given = os.environ.get("HANDBACK_BIN")
    return Path(given).resolve() if given else _target() / "release" / "handback"


def rust_example() -> Path:
    """From the one build that `_handback` does: with a binary given, that of `cargo test`, which builds the examples."""
    return _target() / ("debug" if os.environ.get("HANDBACK_BIN") else "release") / "examples" / RUST_EXAMPLE


def _digest(folder: Path, command: list[str]) -> str:
    h = hashlib.sha256(repr(command).encode())
    for path in sorted(_sources(folder)):
        h.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return h.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_file():
            yield path
        elif path.name not in _BUILT:
            yield from _sources(path)


def _run(name: str, command: list[str], cwd: Path, env: dict[str, str]) -> None:
    if shutil.which(command[0]) is None:
        raise Failed(f"{command[0]} is missing, and {name} needs it")
    proc = Proc(f"build-{name}", command, env, cwd)
    try:
        code = proc.wait(3600)
    finally:
        proc.stop()
    if code != 0:
        raise Failed(f"building {name} failed: {' '.join(command)}", proc.log)


def stamped(name: str, source: Path, artefact: Path, command: list[str], env: dict[str, str]) -> bool:
    """True when it had to build."""
    stamp = LIVE / "stamps" / name
    digest = _digest(source, command)
    if artefact.exists() and stamp.exists() and stamp.read_text() == digest:
        return False
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    if artefact.is_dir():
        shutil.rmtree(artefact)
    artefact.parent.mkdir(parents=True, exist_ok=True)
    _run(name, command, source, env)
    stamp.write_text(digest)
    return True


def _go(name: str, artefact: Path, source: Path) -> bool:
    # Low priority: the longest build of all, beside which the others finish.
    command = ["nice", "-n", "5", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(artefact), "."]
    if shutil.which("go") is None:
        raise Failed(f"go is missing, and {name} needs it")
    return stamped(name, source, artefact, command, {"CGO_ENABLED": "0"})


def _workers() -> bool:
    """That of the tests, then that of the examples: the second finds most of what it needs compiled by the first."""
    built = _go("worker", WORKER, SOURCES / "worker")
    return _go("go-worker", GO_EXAMPLE, EXAMPLES / "go-worker") or built


def build_kafka() -> bool:
    command = ["mvn", "--batch-mode", "--quiet", _MAVEN_GOAL, f"-DoutputDirectory={KAFKA_JARS}"]
    return stamped("kafka", SOURCES / "kafka", KAFKA_JARS, command, {})


def _handback() -> bool:
    if os.environ.get("HANDBACK_BIN"):
        if not os.access(handback(), os.X_OK):
            raise Failed(f"HANDBACK_BIN={handback()} cannot be run")
        _run("rust-example", ["cargo", "build", "--locked", "--example", RUST_EXAMPLE], ROOT, {})
        return False
    _run("handback", ["cargo", "build", "--release", "--locked", "--bin", "handback", "--example", RUST_EXAMPLE], ROOT, {})
    return True


def earlier_handback() -> Path:
    return LIVE / "bin" / f"handback-{EARLIER}"


def _earlier() -> bool:
    """A development build from the history, in the folder of ours: it finds compiled there what both depend on."""
    made, stamp = earlier_handback(), LIVE / "stamps" / "earlier"
    if made.exists() and stamp.exists() and stamp.read_text() == _EARLIER_COMMIT:
        return False
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "cat-file", "-e", f"{_EARLIER_COMMIT}^{{commit}}"], capture_output=True, check=False).returncode != 0:
        raise Failed(f"{EARLIER} cannot be built: commit {_EARLIER_COMMIT} is not in this clone. Is it shallow? git fetch --unshallow")
    source = LIVE / "earlier"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    archive = subprocess.run([*git, "archive", _EARLIER_COMMIT], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive, check=True)
    # Under a name of its own: the tests run the `handback` that stands in the same folder.
    with (source / "Cargo.toml").open("a") as manifest:
        manifest.write('\n[[bin]]\nname = "handback-earlier"\npath = "src/main.rs"\n')
    _run("earlier", ["cargo", "build", "--locked", "--bin", "handback-earlier"], source, {"CARGO_TARGET_DIR": str(_target())})
    made.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(_target() / "debug" / "handback-earlier", made)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(_EARLIER_COMMIT)
    return True


def build_all(more: dict[str, Callable[[], bool]], with_handback: bool = True) -> None:
    steps = {"cadence-server": lambda: _go("cadence-server", CADENCE_SERVER, SOURCES / "cadence-server"),
             "worker": _workers, "kafka": build_kafka, f"handback {EARLIER}": _earlier, **more}
    if with_handback:
        steps["handback"] = _handback
    waiting = set(steps)
    faults: list[Exception] = []

    def one(name: str) -> None:
        began = time.monotonic()
        try:
            built = steps[name]()
            what = "built" if built else "as it was"
            term.line(f"{time.monotonic() - began:6.1f}s  {term.paint('ok', 'green')}    {what}: {name}")
        except Exception as fault:  # noqa: BLE001 - told below, after the other builds have ended
            faults.append(fault)
        waiting.discard(name)

    with term.Doing("building") as doing:
        threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in steps]
        for t in threads:
            t.start()
        for t in threads:
            while t.is_alive():
                doing.say("building " + ", ".join(sorted(waiting)))
                t.join(0.2)
    if faults:
        raise faults[0]
