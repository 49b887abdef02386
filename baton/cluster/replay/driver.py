"""An open loop: every request at its time, whatever came back of those before."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from baton.cluster.outcomes import Outcome
from baton.cluster.replay.sender import Sender
from baton.cluster.replay.tenant import Tenant
from baton.cluster.traces.trace import TraceRequest

AHEAD = 0.5  # seconds; bodies are made by then, so that no request waits for another one's


@dataclass(frozen=True, slots=True)
class Planned:
    request: TraceRequest
    tenant: Tenant


class Driver:
    """`outcomes` are of the requests whose time has come, in order of time."""

    def __init__(self, sender: Sender, clock: Callable[[], float]) -> None:
        """`clock` is in seconds since the run's beginning, negative before it."""
        self._sender = sender
        self._clock = clock
        self.outcomes: list[Outcome] = []
        self.running = 0

    async def run(self, plan: Sequence[Planned]) -> None:
        """Until the last one has ended. Cancelled, it cuts off what still runs."""
        async with asyncio.TaskGroup() as group:
            for one in plan:
                await self._sleep_until(one.request.at - AHEAD)
                group.create_task(self._one(one))

    async def _one(self, planned: Planned) -> None:
        request, tenant = planned.request, planned.tenant
        body = self._sender.body(request)
        await self._sleep_until(request.at)
        outcome = Outcome(tenant.name, request.at, request.input_tokens)
        self.outcomes.append(outcome)
        self.running += 1
        try:
            await self._sender.send(body, request.output_tokens, tenant.key, outcome)
        finally:
            self.running -= 1

    async def _sleep_until(self, at: float) -> None:
        left = at - self._clock()
        if left > 0:
            await asyncio.sleep(left)
