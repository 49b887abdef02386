"""The directory of workers, read once and dealt to the models that they serve."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from baton.core.worker_info import WorkerInfo
from baton.registry.store import Directory
from gateway.models.lineup import Lineup

Members = tuple[WorkerInfo, ...]


class Share:
    """The `Directory` of one model."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._members: Members | None = None  # None: the directory was not read yet
        self._changed = asyncio.Event()

    @property
    def trouble(self) -> str | None:
        return self._directory.trouble

    def give(self, members: Members) -> None:
        if members != self._members:
            self._members = members
            self._changed.set()

    async def subscribe(self) -> AsyncIterator[Members]:
        """For one reader."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield self._members or ()


class Dealer:
    """Who serves none of the models goes to the first, which refuses it by name."""

    def __init__(self, directory: Directory, lineup: Lineup, models: int) -> None:
        self._directory = directory
        self._lineup = lineup
        self.shares = [Share(directory) for _ in range(models)]

    async def run(self) -> None:
        """Until cancelled. Raises SettingsError where the directory does."""
        async for members in self._directory.subscribe():
            for share, own in zip(self.shares, self.dealt(members), strict=True):
                share.give(own)

    def dealt(self, members: Members) -> Sequence[Members]:
        """For each model those that serve it, in their order."""
        hands: list[list[WorkerInfo]] = [[] for _ in self.shares]
        for info in members:
            hands[self._lineup.of(info) or 0].append(info)
        return [tuple(hand) for hand in hands]
