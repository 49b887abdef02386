"""Who runs the workers of a cluster, as those see it who decide how many there shall be.

`ProcessOrchestrator` runs them as processes of this machine, `RayOrchestrator` as actors of Ray.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from baton.core.errors import SettingsError
from baton.core.worker_info import Role


class Stage(Enum):
    STARTING = "starting"  # it was never ready, or died and is being started again
    READY = "ready"
    DRAINING = "draining"  # it finishes what it has, then it is gone for good


@dataclass(frozen=True, slots=True)
class RunWorker:
    """One worker that is there or about to be."""

    worker_id: str  # such as "prefill-0"
    role: Role
    stage: Stage
    address: str = ""  # host:port of its gRPC server, once it was ready
    node: str = ""  # where it runs, if that is another machine
    metrics_url: str = ""  # of its metrics page, once it was ready


@dataclass(frozen=True, slots=True)
class Pending:
    """A worker that is wanted and cannot be there, in a sentence for whoever runs the cluster."""

    worker_id: str
    reason: str


class Orchestrator(Protocol):
    """All calls come from one event loop. Counts are what is wanted; who is there follows."""

    async def run(self, registry: str) -> None:
        """Starts the workers that are wanted, which join `registry` (HOST:PORT), and keeps them
        alive until cancelled; then all of them are gone. Returns never; raises GaveUpError when
        one of those wanted from the beginning cannot start.
        """
        ...

    async def until_ready(self) -> None:
        """Until all that were wanted from the beginning have been ready once."""
        ...

    def wanted(self, role: Role) -> int: ...

    async def scale(self, role: Role, count: int) -> None:
        """`count` workers of the role are wanted from now on. Missing ones are started, which may
        take minutes after this has returned; surplus ones are drained, for as long as their
        answers take. What was pending is tried again. Raises SettingsError for a count that no
        cluster can have, UnavailableError when a worker could not be told to drain.
        """
        ...

    async def drain(self, worker_id: str) -> None:
        """Takes this one out, and one fewer of its role is wanted. Returns once it was told. Raises
        SettingsError where `scale` does or nobody has this name, UnavailableError when it could
        not be told.
        """
        ...

    def has_role(self, worker_id: str, role: Role) -> None:
        """It was seen to serve in that role, whoever has told it to: it counts there from now on.
        Nothing happens for a worker that is not this orchestrator's. One that dies is started again in
        the role that it was started with.
        """
        ...

    def workers(self) -> list[RunWorker]: ...

    def pending(self) -> list[Pending]: ...


def check_count(role: Role, count: int) -> None:
    """Raises SettingsError."""
    least = 1 if role is Role.DECODE else 0
    if count < least:
        raise SettingsError(f"a cluster needs at least {least} {role.value} workers, not {count}")


def missing(role: Role, count: int, workers: Iterable[RunWorker]) -> list[str]:
    """Names for those that are to be started: the lowest numbers that nobody has."""
    workers = list(workers)
    lacking = count - len(_staying(role, workers))
    names: list[str] = []
    taken = {worker.worker_id for worker in workers}
    number = 0
    while len(names) < lacking:
        name = f"{role.value}-{number}"
        if name not in taken:
            names.append(name)
        number += 1
    return names


def surplus(role: Role, count: int, workers: Iterable[RunWorker]) -> list[RunWorker]:
    """Those that are to go: first who serves nobody yet, then who came last."""
    staying = _staying(role, workers)
    newest_first = list(reversed(staying))
    going = sorted(newest_first, key=lambda worker: worker.stage is Stage.READY)
    return going[: max(0, len(staying) - count)]


def _staying(role: Role, workers: Iterable[RunWorker]) -> list[RunWorker]:
    return [w for w in workers if w.role is role and w.stage is not Stage.DRAINING]
