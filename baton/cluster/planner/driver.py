"""Looks at a running cluster again and again, and does what the planner decides, or only says it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from baton.cluster.orchestrator import Orchestrator
from baton.cluster.planner.planner import Action, Flip, Plan, Planner
from baton.cluster.planner.sight import observation, roles_now
from baton.core.errors import BatonError, UnavailableError
from baton.core.worker_info import Role

TellToFlip = Callable[[str, Role], Awaitable[None]]  # takes an address; raises UnavailableError
Say = Callable[[str], None]


class Pages(Protocol):
    """What the gateway shows. Both raise UnavailableError."""

    def status(self) -> dict[str, Any]: ...

    def metrics(self) -> str: ...


class Driver:
    """`run` until it is cancelled. Without an orchestrator, or in a dry run, plans are only told."""

    def __init__(
        self,
        planner: Planner,
        pages: Pages,
        say: Say,
        seconds: float,
        orchestrator: Orchestrator | None = None,
        tell_to_flip: TellToFlip | None = None,
        dry_run: bool = False,
    ) -> None:
        self._planner = planner
        self._pages = pages
        self._say = say
        self._seconds = seconds
        self._orchestrator = orchestrator
        self._tell_to_flip = tell_to_flip
        self._dry_run = dry_run or orchestrator is None
        self._trouble = ""

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._seconds)

    async def look(self) -> Plan | None:
        """Once; None: the gateway does not answer."""
        try:
            status = await asyncio.to_thread(self._pages.status)
            metrics = await asyncio.to_thread(self._pages.metrics)
        except UnavailableError as error:
            self._complain(f"planner: sees nothing of the cluster: {error}")
            return None
        self._trouble = ""
        own = [] if self._orchestrator is None else self._orchestrator.workers()
        if self._orchestrator is not None:
            for worker_id, role in roles_now(status).items():
                self._orchestrator.has_role(worker_id, role)
        plan = self._planner.decide(observation(time.monotonic(), status, metrics, own))
        for action in plan.actions:
            await self._act(action, plan)
        return plan

    async def _act(self, action: Action, plan: Plan) -> None:
        why = "; ".join(plan.reasons)
        if self._dry_run:
            self._say(f"planner, dry run: {action}. {why}")
            return
        self._say(f"planner: {action}. {why}")
        try:
            await self._do(action)
        except BatonError as error:
            self._say(f"planner: {action}: {error}")

    async def _do(self, action: Action) -> None:
        assert self._orchestrator is not None
        if not isinstance(action, Flip):
            await self._orchestrator.scale(action.role, action.count)
        elif self._tell_to_flip is not None:
            await self._tell_to_flip(action.address, action.role)

    def _complain(self, trouble: str) -> None:
        """Once for each trouble."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._say(trouble)
