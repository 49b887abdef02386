"""What runs in Ray's process: a worker like any other, in a thread beside Ray's own.

Ray makes the object again after a death, in a new process and by `__init__` alone; so that begins
the worker. It serves gRPC by itself and joins the registry; through Ray goes only what its keeper
asks.
"""

import asyncio
import logging
import os
import threading
import traceback
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import ray.util

from baton.core.errors import SettingsError
from baton.core.interrupts import Interrupts
from baton.core.worker_info import Role
from baton.engine.machine.host_cores import available_cores
from baton.engine.machine.thread_team import wait_briefly
from baton.worker.settings import WorkerSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Begun:
    """It serves. `line`: what a worker says when it is ready, and its `node`."""

    line: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NotBegun:
    """It does not serve. `hopeless`: it would not at another try, for its settings are wrong."""

    reason: str
    hopeless: bool


class WorkerActor:
    def __init__(self, role: str, settings: WorkerSettings) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        # Before anybody imports torch; Ray has set it to what it thinks an actor may use.
        os.environ["OMP_NUM_THREADS"] = str(settings.threads or available_cores())
        wait_briefly(os.environ)
        self._role = Role(role)
        self._node = ray.util.get_node_ip_address()
        self._settings = replace(settings, host=self._node)
        self._interrupts = Interrupts()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beginning: Future[Begun | NotBegun] = Future()
        self._end: Future[None] = Future()
        threading.Thread(target=self._live, name="worker", daemon=True).start()

    def hello(self) -> None:
        """Answered as soon as there is a process."""

    def beginning(self) -> Begun | NotBegun:
        """Once that is known."""
        return self._beginning.result()

    def end(self) -> None:
        """Returns when the worker has left in good order: it was drained or told to stop."""
        self._end.result()

    def stop(self) -> None:
        """As SIGTERM does to a worker's process; nothing before it serves."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._interrupts.stop.set)

    def _live(self) -> None:
        code = 1
        try:
            code = self._served()
        except SettingsError as error:
            self._not_begun(str(error), hopeless=True)
        except Exception as error:
            logger.exception("the worker has ended")
            last = traceback.format_exception_only(error)[-1].strip()
            self._not_begun(last, hopeless=False)
        if code == 0:
            self._end.set_result(None)
        elif isinstance(self._beginning.result(), Begun):
            os._exit(code)  # Ray starts it again

    def _served(self) -> int:
        """The exit code that its process would have."""
        # Here, for whoever places workers loads no engine.
        from baton.cluster.either_role import loader_of
        from baton.telemetry.logs import setup_logging
        from baton.worker.process import run

        settings = self._settings
        setup_logging(
            settings.log_level,
            settings.log_format,
            process=self._role.value,
            worker_id=settings.worker_id,
        )
        load, roles = loader_of(self._role)
        return run(settings, self._role, load, roles, self._on_ready, self._interrupts)

    def _on_ready(self, line: dict[str, Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._beginning.set_result(Begun({**line, "node": self._node}))

    def _not_begun(self, reason: str, hopeless: bool) -> None:
        if not self._beginning.done():
            self._beginning.set_result(NotBegun(reason, hopeless))
