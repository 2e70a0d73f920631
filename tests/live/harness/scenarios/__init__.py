"""The scenarios, in the order in which they run."""

import uuid
from dataclasses import dataclass
from typing import Callable


@dataclass
class Scenario:
    name: str
    title: str
    run: Callable
    # Starts its own bridge or needs none: the logs to show when it fails are its own.
    own_bridge: bool = False
    # Waits for timers of the engine's, of which a 1.4.1 server loses one at times: an attempt that never times out has no
    # next one. Played once more when a request that the test's own worker publishes does not come.
    timers: bool = False
    # Mostly waits, on topics of its own: runs at the same time as its neighbours that do.
    beside: bool = False


ALL: list[Scenario] = []


def scenario(name: str, own_bridge: bool = False, timers: bool = False, beside: bool = False):
    """Registers a scenario. Its title is the first line of its docstring."""
    def add(run: Callable) -> Callable:
        ALL.append(Scenario(name, (run.__doc__ or name).splitlines()[0], run, own_bridge, timers, beside))
        return run
    return add


def new_id(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


__all__ = ["ALL", "Scenario", "new_id", "scenario"]

from . import results, cloudevents, failures, timing, late, reasons, rubbish, load, kills, storm, frozen, engine, dropped, upgrade, brokers, handover, secure, wire, positions, membership, dispatch, spring, feedback, answering, contract, drain  # noqa: E402, F401 - registers them
