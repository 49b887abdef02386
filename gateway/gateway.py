"""A gateway, put together: what runs while it serves, and what ends with it."""

import asyncio
from dataclasses import dataclass

import grpc
from starlette.types import ASGIApp

from baton.core.errors import UnavailableError
from baton.registry.commons import Commons
from gateway.http.doorway import Doorway
from gateway.models.dealing import Dealer
from gateway.models.served_models import ServedModels
from gateway.tenants.roster import Roster
from gateway.ui.feed import Feed


@dataclass(frozen=True, slots=True)
class Gateway:
    app: ASGIApp
    doorway: Doorway
    registry_server: grpc.aio.Server | None  # None: workers join in Redis
    dealer: Dealer
    models: ServedModels
    commons: Commons
    roster: Roster
    feed: Feed

    async def follow(self) -> None:
        """The workers of all models, until cancelled. Raises SettingsError where the registry refuses
        what this gateway was told.
        """
        runs = [self.dealer.run(), *(model.follow() for model in self.models)]
        tasks = [asyncio.create_task(run) for run in runs]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until_followed(self) -> None:
        """Until the registry was read, or found to be away."""
        for model in self.models:
            await model.workers.began.wait()

    async def share(self) -> None:
        """With other gateways, until cancelled."""
        await self.commons.run({model.names.first: model.queue.shares for model in self.models})

    def fail_all(self, error: UnavailableError) -> None:
        """Ends what is under way, and what comes later, with the error."""
        for model in self.models:
            model.dispatcher.fail_all(error)

    async def close(self) -> None:
        """After `follow` has ended; breaks what is still under way."""
        for model in self.models:
            await model.close()
