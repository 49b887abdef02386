"""What a worker has for newcomers, and how more of it is made."""

import asyncio
import itertools
from collections.abc import Sequence

from baton.core.errors import BatonError
from baton.core.room import Room
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.work import EngineLoad
from baton.worker.bridge import EngineBridge
from baton.worker.desk import Desk
from baton.worker.room import Held, hold


class Rooms:
    """Call everything on the loop's thread; `by` may be called on any."""

    def __init__(self, bridge: EngineBridge, desk: Desk) -> None:
        self._bridge = bridge
        self._desk = desk
        self._readings = itertools.count(1)

    def left(self) -> Room:
        """What newcomers find now; the later has the greater number."""
        return self.by(self._bridge.engine.load())

    def by(self, load: EngineLoad) -> Room:
        return Room(
            number=next(self._readings),
            free_blocks=load.free_blocks,
            lacks=load.lacks,
            seats=self._desk.max_choices,
            seated=self._desk.seated,
            yielding=load.yielding,
        )

    async def hold(self, priority: int, names: Sequence[bytes], wanted: int) -> Held | None:
        """As `room.hold` has it, if need be once those that are less urgent have given way, behind the
        step at hand. None: there is too little. Nothing is held for a caller who is cancelled.
        """
        if (held := hold(self._blocks, names, wanted)) is not None:
            return held
        if self.left().most_for(priority) < min(wanted, self._blocks.total):
            return None
        return await self._made(priority, names, wanted)

    @property
    def _blocks(self) -> BlockPool:
        return self._bridge.engine.blocks

    async def _made(self, priority: int, names: Sequence[bytes], wanted: int) -> Held | None:
        held: list[Held] = []

        def take() -> bool:
            if (taken := hold(self._blocks, names, wanted)) is not None:
                held.append(taken)
            return taken is not None

        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def heard(told: bool | BatonError) -> None:
            if asked.cancelled():
                self._give_back(held)
            elif isinstance(told, BatonError):
                asked.set_exception(told)
            else:
                asked.set_result(None)

        self._bridge.make_room(priority, min(wanted, self._blocks.total), take, heard)
        try:
            await asked
        except asyncio.CancelledError:
            if not asked.cancelled():
                self._give_back(held)
            raise
        return held[0] if held else None

    def _give_back(self, held: list[Held]) -> None:
        for one in held:
            one.give_back(self._blocks)
