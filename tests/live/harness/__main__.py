"""Command line of the live tests."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable

from . import build, examples, procs, record, term
from .kafka import Kafka
from .paths import DATA, GROUPS, LOGS
from .procs import NotAsked
from .scenarios import ALL, Scenario
from .stack import Failed, Stack


# A stack is never let go of: to free the Kafka client of a broker that is gone can take for ever.
_kept: list[Stack] = []


class Stopped(BaseException):
    """The user or the system asked this program to stop."""


def main() -> int:
    p = argparse.ArgumentParser(prog="tests/live/run", description="Runs the live tests: real Kafka, real Cadence, real clients.")
    p.add_argument("--only", metavar="NAME", action="append", help="run this scenario alone; may be given several times")
    p.add_argument("--list", action="store_true", help="list the scenarios and exit")
    p.add_argument("--keep", action="store_true", help="afterwards leave the stack up until Ctrl-C, with a bridge, and keep its data")
    p.add_argument("--build", action="store_true", help="only build the parts that are not handback itself")
    p.add_argument("--record", metavar="FILE", type=Path,
                   help="only keep what this version leaves on its topics, for tests of later ones (record.py)")
    p.add_argument("--on-kafka", metavar="COMMAND ...",
                   help="run this command beside a Kafka broker of its own, whose address is in HANDBACK_BENCH_BROKERS")
    p.add_argument("--sweep", action="store_true", help=argparse.SUPPRESS)
    if sys.argv[1:2] == ["--on-kafka"] and sys.argv[2:]:
        # Not parsed: a command has options, and a "--", of its own.
        return run(lambda: on_kafka(sys.argv[2:]), keep=False)
    a = p.parse_args()
    if a.sweep:
        procs.sweep()
        return 0
    if a.list:
        for s in ALL:
            print(f"{s.name:16} {s.title}")
        return 0
    unknown = set(a.only or []) - {s.name for s in ALL}
    if unknown:
        p.error(f"no such scenario: {', '.join(sorted(unknown))}; --list names them")
    if a.record:
        return run(lambda: recorded(a.record), a.keep)
    chosen = [s for s in ALL if not a.only or s.name in a.only]
    return run(lambda: scenarios(chosen, a.keep, a.build), a.keep)


def run(what: Callable[[], int], keep: bool) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    shutil.rmtree(LOGS, ignore_errors=True)
    shutil.rmtree(DATA, ignore_errors=True)
    LOGS.mkdir(parents=True)
    DATA.mkdir(parents=True)
    GROUPS.unlink(missing_ok=True)
    try:
        return what()
    except Stopped:
        term.line("stopped")
        return 130
    except Failed as fault:
        term.line(f"{term.paint('cannot run', 'red')}: {fault}")
        _tail(fault.log)
        return 1
    finally:
        # From here on only SIGKILL interrupts: what was started has to end.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        procs.stop_all()
        if not keep:
            shutil.rmtree(DATA, ignore_errors=True)


def _stop(*_: object) -> None:
    raise Stopped


def on_kafka(command: list[str]) -> int:
    build.build_kafka()
    kafka = Kafka()
    kafka.start()
    return subprocess.run(command, env={**os.environ, "HANDBACK_BENCH_BROKERS": kafka.brokers}, check=False).returncode


def recorded(file: Path) -> int:
    build.build_all({})
    stack = Stack()
    _kept.append(stack)
    stack.start()
    record.record(stack, file)
    return 0


def scenarios(chosen: list[Scenario], keep: bool, build_only: bool) -> int:
    build.build_all(examples.BUILDS, with_handback=not build_only)
    if build_only:
        return 0
    stack = Stack()
    _kept.append(stack)
    stack.start()
    results = [result for together in _together(chosen) for result in _play(together, stack)]
    term.line()
    for s, fault, note, took in results:
        term.line(f"{took:6.1f}s  {_word(fault)}  {s.name:16} {str(fault)[:300] if fault else note or s.title}")
    failed = sum(1 for _, fault, _, _ in results if fault is not None)
    term.line()
    term.line(f"{len(results) - failed} passed, {failed} failed")
    if keep:
        _wait_for_user(stack)
    return 1 if failed else 0


def _together(chosen: list[Scenario]) -> list[list[Scenario]]:
    """In order; neighbours that may run beside each other are one entry."""
    entries: list[list[Scenario]] = []
    for s in chosen:
        if s.beside and entries and entries[-1][-1].beside:
            entries[-1].append(s)
        else:
            entries.append([s])
    return entries


def _play(together: list[Scenario], stack: Stack) -> list[tuple]:
    with ThreadPoolExecutor(len(together)) as pool:
        return [(s, *result) for s, result in zip(together, pool.map(lambda s: _one(s, stack), together))]


def _word(fault: Exception | None) -> str:
    return term.paint("ok  ", "green") if fault is None else term.paint("FAIL", "red")


def _one(s: Scenario, stack: Stack) -> tuple[Exception | None, str | None, float]:
    """Its fault if it has one, what it wants to be told in the table, and how long it took."""
    fault: Exception | None = None
    note: str | None = None
    with term.Doing(f"{s.name}: {s.title}") as doing:
        try:
            stack.must_run()
            try:
                note = s.run(stack)
            except NotAsked as why:
                if not s.timers:
                    raise
                term.line(f"          {s.name}: once more, because {why}")
                note = s.run(stack)
            stack.must_run()
        except (Failed, AssertionError) as e:
            fault = e
        except Exception as e:  # noqa: BLE001 - a fault of the harness fails the scenario, not the run
            fault = Failed(f"{type(e).__name__}: {e}")
            term.line(traceback.format_exc())
    term.line(f"{doing.elapsed:6.1f}s  {_word(fault)}  {s.name}: {s.title}")
    if fault is not None:
        term.line(f"          {fault}")
        _tail(getattr(fault, "log", None) or (None if s.own_bridge else LOGS / "handback.log"))
    return fault, note, doing.elapsed


def _tail(log: Path | None, lines: int = 40) -> None:
    if log is None or not log.exists():
        return
    term.line(term.paint(f"--- end of {log}", "dim"))
    for text in log.read_text(errors="replace").splitlines()[-lines:]:
        term.line("    " + text[:400])
    term.line(term.paint("---", "dim"))


def _wait_for_user(stack: Stack) -> None:
    stack.bridge()
    term.line(f"the stack stays up until Ctrl-C: Kafka {stack.kafka.brokers}, Cadence http://{stack.cadence.address}; logs: {LOGS}")
    try:
        threading.Event().wait()
    except Stopped:
        pass


if __name__ == "__main__":
    began = time.monotonic()
    code = main()
    if "--list" not in sys.argv and "--sweep" not in sys.argv and "-h" not in sys.argv:
        term.line(f"{time.monotonic() - began:6.1f}s in all; logs are under {LOGS}")
    # Not sys.exit: Kafka clients of a broker that is gone can hold the interpreter up for ever.
    sys.stdout.flush()
    os._exit(code)
