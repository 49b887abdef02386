"""Opens a registry that is kept in Redis. Its client is imported here, by those who use one."""

import asyncio
from typing import TYPE_CHECKING, Protocol

from baton.core.worker_info import WorkerInfo
from baton.registry.commons import Commons
from baton.registry.redis_place import RedisPlace
from baton.registry.store import Directory

if TYPE_CHECKING:
    from baton.registry.redis_roster import RedisRoster


class Member(Protocol):
    """A worker's side of any registry."""

    joined: asyncio.Event

    async def run(self) -> None:
        """Stays a member until cancelled. Raises SettingsError where trying again cannot help."""
        ...


def member_in_redis(info: WorkerInfo, place: RedisPlace, secret: str) -> Member:
    from baton.registry.redis_membership import RedisMembership
    from baton.registry.redis_store import RedisStore

    return RedisMembership(info, RedisStore(place, f"baton-{info.worker_id}"), secret)


def commons_in_redis(place: RedisPlace) -> Commons:
    from baton.registry.redis_commons import RedisCommons
    from baton.registry.redis_store import RedisStore

    return RedisCommons(RedisStore(place, "baton-gateway-commons"))


def directory_in_redis(place: RedisPlace, secret: str) -> Directory:
    from baton.registry.redis_directory import RedisDirectory
    from baton.registry.redis_store import RedisStore

    return RedisDirectory(RedisStore(place, "baton-gateway"), secret)


def roster_in_redis(place: RedisPlace, secret: str) -> "RedisRoster":
    from baton.registry.redis_roster import RedisRoster
    from baton.registry.redis_store import RedisStore

    return RedisRoster(RedisStore(place, "baton-tenants"), secret)
