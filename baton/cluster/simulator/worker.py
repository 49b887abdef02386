"""A modelled worker: its pool, its engine, and what it tells gateways of both."""

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from baton.cluster.outcomes import Gaps
from baton.cluster.simulator.engine import Engine
from baton.cluster.simulator.kv_cache import Holding, KvCache
from baton.cluster.simulator.profile import Profile
from baton.cluster.simulator.work import Reading, Writing
from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.core.kv_events import KvChange, stride_of
from baton.core.room import Room
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState

NEWS_SECONDS = 0.1  # a worker tells of itself at most so often
MAX_MODEL_LEN = 1 << 24  # more than any pool has; what does not fit a pool is refused there


@dataclass(slots=True, eq=False)
class Lease:
    """What one request has of a worker."""

    holding: Holding
    cached: int  # tokens


class SimulatedWorker:
    def __init__(self, role: Role, number: int, profile: Profile, draw: random.Random) -> None:
        name = f"{role.value}-{number:04}"
        fingerprint = Fingerprint(
            PROTOCOL_VERSION, "simulated", "", "t", profile.dtype, profile.layout, "r"
        )
        self.profile = profile
        self.stride = stride_of(profile.block_size)
        self.info = WorkerInfo(
            *(name, f"{name}#1", role, name, "", 1, "simulated", MAX_MODEL_LEN),
            *(profile.num_blocks, fingerprint),
        )
        self.cache = KvCache(profile.num_blocks * profile.block_size // self.stride)
        self.engine = Engine(profile, draw, self.touch, self._progressed)
        self.queued = 0  # prompts that wait for room in the pool
        self._readings = itertools.count(1)  # of its room
        self._dirty = asyncio.Event()
        self._room = asyncio.Event()

    def touch(self) -> None:
        """Something changed that gateways are to hear of."""
        self._dirty.set()

    def take(self, keys: list[int], tokens: int) -> Lease | None:
        """Room for so many tokens; None: there is none now."""
        holding = self.cache.take(keys, -(-tokens // self.stride))
        if holding is None:
            return None
        self.touch()
        return Lease(holding, holding.cached * self.stride)

    async def taken(self, keys: list[int], tokens: int) -> Lease:
        """The same, but it waits for room."""
        self.queued += 1
        try:
            while (lease := self.take(keys, tokens)) is None:
                self._room.clear()
                await self._room.wait()
        finally:
            self.queued -= 1
        return lease

    def release(self, lease: Lease, written: bool = False) -> None:
        self.cache.release(lease.holding, written)
        self._room.set()
        self.touch()

    async def read(self, lease: Lease, tokens: int, rank: tuple[int, int]) -> None:
        work = Reading(rank, tokens, lease.cached, lease.holding)
        self.engine.read(work)
        self.touch()
        await work.done

    async def write(
        self, tokens: int, context: int, last: float, gaps: Gaps, rank: tuple[int, int]
    ) -> None:
        """So many tokens behind one that came at `last`."""
        work = Writing(rank, context, tokens, last, gaps)
        self.engine.write(work)
        self.touch()
        await work.done

    def arrived(self, lease: Lease) -> None:
        """All of the prompt is there."""
        self.cache.computed(lease.holding, len(lease.holding.keys))

    def _progressed(self, work: Reading) -> None:
        self.cache.computed(work.holding, min(work.at // self.stride, len(work.holding.keys)))

    def room(self) -> Room:
        free = self.cache.room * (self.stride // self.profile.block_size)
        return Room(next(self._readings), free)

    def load(self) -> WorkerLoad:
        engine, per_stride, room = self.engine, self.stride // self.profile.block_size, self.room()
        return WorkerLoad(
            WorkerState.READY,
            running=len(engine.writing) + len(engine.reading),
            waiting=len(engine.waiting) + self.queued,
            free_blocks=room.free_blocks,
            reserved_blocks=0,
            leased_blocks=0,
            total_blocks=self.cache.size * per_stride,
            unread_tokens=engine.unread,
            steps=engine.totals,
            room=room,
        )

    async def watch(self) -> AsyncGenerator[WorkerLoad | KvChange, None]:
        """As a worker's `Watch` stream: a load and a snapshot, then what changes."""
        self.cache.tell_all()
        while True:
            yield self.load()
            if (change := self.cache.news()) is not None:
                yield change
            self._dirty.clear()
            await asyncio.sleep(NEWS_SECONDS)
            await self._dirty.wait()
