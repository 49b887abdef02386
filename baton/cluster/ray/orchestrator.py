"""Workers as actors of Ray, each in a placement group of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from baton.cluster.keeper import Patience, Voices
from baton.cluster.kept_workers import KeptWorkers, TellToDrain, Vacancy
from baton.cluster.orchestrator import Pending
from baton.cluster.ray.actor_keeper import ActorKeeper
from baton.cluster.ray.placement import (
    Nodes,
    Placed,
    begin_again,
    living_nodes,
    node_of,
    place,
    remove,
    waiting,
)
from baton.cluster.ray.placing import partner_node, why_waiting
from baton.cluster.ray.plan import RayPlan
from baton.cluster.ray.runtime import RayRuntime
from baton.core.worker_info import Role

_LOOK = 0.5  # seconds between looks at nodes and at workers that wait for a place


@dataclass(slots=True)
class _Hired:
    role: Role
    keeper: ActorKeeper
    node: str | None = None  # where it was placed first


@dataclass(frozen=True, slots=True)
class _Placer:
    runtime: RayRuntime
    place: Callable[[], Coroutine[Any, Any, Placed]]

    async def remove(self, placed: Placed) -> None:
        await self.runtime.call(remove, placed)

    async def begin_again(self, placed: Placed) -> None:
        await self.runtime.call(begin_again, placed)


class RayOrchestrator(KeptWorkers):
    """Ray places actors and starts them again; what is wanted is asked of it by keepers, one for
    each worker, and by a look at the nodes every half second.
    """

    def __init__(
        self,
        plan: RayPlan,
        runtime: RayRuntime,
        voices: Voices,
        hurry: asyncio.Event,
        patience: Patience,
        tell_to_drain: TellToDrain,
    ) -> None:
        super().__init__(plan.first(), voices, tell_to_drain)
        self._plan = plan
        self._runtime = runtime
        self._pack_pairs = plan.settings.ray.ray_pack_pairs
        self._hurry = hurry
        self._patience = patience
        self._hired: dict[str, _Hired] = {}
        self._placing = asyncio.Lock()  # a partner is looked for when the others have their place
        self._waiting: dict[str, Pending] = {}

    async def run(self, registry: str) -> None:
        looking = asyncio.create_task(self._look_again_and_again())
        looking.add_done_callback(self._looked)
        try:
            await super().run(registry)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def pending(self) -> list[Pending]:
        return [*super().pending(), *self._waiting.values()]

    def keeper_of(self, vacancy: Vacancy) -> ActorKeeper:
        placer = _Placer(self._runtime, partial(self._place, vacancy))
        keeper = ActorKeeper(vacancy, placer, self._voices, self._hurry, self._patience)
        self._hired[vacancy.worker_id] = _Hired(vacancy.role, keeper)
        return keeper

    async def _place(self, vacancy: Vacancy) -> Placed:
        role = vacancy.role
        settings = self._plan.worker(vacancy.worker_id, role, vacancy.registry)
        namespace = self._plan.settings.ray.ray_namespace
        async with self._placing:
            hired = self._hired[vacancy.worker_id]
            hired.node = None
            beside = partner_node(role, self._places()) if self._pack_pairs else None
            placed = await self._runtime.call(
                place, role, settings, self._plan.needed(role), namespace, beside
            )
            if self._pack_pairs:
                hired.node = await self._runtime.call(node_of, placed)
            return placed

    def _places(self) -> list[tuple[Role, str]]:
        hired = [(worker.role, self._hired[worker.worker_id].node) for worker in self.workers()]
        return [(role, node) for role, node in hired if node is not None]

    def _looked(self, looking: "asyncio.Task[None]") -> None:
        if not looking.cancelled() and (error := looking.exception()) is not None:
            self._fail(error)

    async def _look_again_and_again(self) -> None:
        before: Nodes | None = None
        while True:
            nodes = await self._runtime.call(living_nodes)
            if before is not None:
                self._tell_changes(before, nodes)
            before = nodes
            await self._look_at_places(nodes)
            await asyncio.sleep(_LOOK)

    def _tell_changes(self, before: Nodes, now: Nodes) -> None:
        for node in before.addresses.keys() - now.addresses.keys():
            self._voices.say(f"node {before.addresses[node]} is gone from the Ray cluster")
        for node in now.addresses.keys() - before.addresses.keys():
            self._voices.say(f"node {now.addresses[node]} has joined the Ray cluster")

    async def _look_at_places(self, nodes: Nodes) -> None:
        """Who has none is told, with the reason, whenever that changes."""
        open_ones = {
            worker.worker_id: placed
            for worker in self.workers()
            if (placed := self._unreached(worker.worker_id)) is not None
        }
        states = await self._runtime.call(waiting, list(open_ones.values()))
        now: dict[str, Pending] = {}
        for name, waits in zip(open_ones, states, strict=True):
            if waits:
                role = self._hired[name].role
                reason = why_waiting(
                    self._plan.needed(role), list(nodes.totals.values()), nodes.free
                )
                now[name] = Pending(name, f"{name} waits for a place: {reason}")
        for name, pending in now.items():
            if self._waiting.get(name) != pending:
                self._voices.say(pending.reason)
        self._waiting = now

    def _unreached(self, name: str) -> Placed | None:
        keeper = self._hired[name].keeper
        return None if keeper.reached else keeper.placed
