"""`baton tenants`: who may ask, in Redis, for all gateways of a cluster with --tenants-in-redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from baton.cluster.table import aligned
from baton.core.errors import NotFoundError, SettingsError
from baton.registry.choice import roster_in_redis
from baton.registry.redis_settings import RedisSettings
from baton.settings import SettingsCommand, nested, options, setting
from gateway.tenants.entry import Entry
from gateway.tenants.shared_tenants import UnusableRecord, read_record, written
from gateway.tenants.tenants_file import read_entries

if TYPE_CHECKING:
    from baton.registry.redis_roster import Records, RedisRoster

_TITLES = ("TENANT", "WEIGHT", "REQUESTS/MIN", "TOKENS/MIN", "AT ONCE", "KEYS")


@dataclass(frozen=True, slots=True)
class RosterAccess:
    redis: RedisSettings = nested(RedisSettings)
    cluster_secret: str = setting("", "The cluster's, as its gateways were given it.", secret=True)


@click.group("tenants")
def tenants() -> None:
    """Say who may ask a cluster whose gateways have --tenants-in-redis.

    What is changed acts within a second. No API key goes to Redis, only its SHA-256.
    """


@tenants.command("put", cls=SettingsCommand)
@click.argument("file", type=click.Path(path_type=Path))
@options(RosterAccess)
def put(access: RosterAccess, file: Path) -> None:
    """Add the tenants of FILE, or change them; those that are not in it stay.

    FILE is as for --tenants-file of a gateway.
    """
    asyncio.run(_put(access, read_entries(file)))


@tenants.command("list", cls=SettingsCommand)
@options(RosterAccess)
def list_(access: RosterAccess) -> None:
    """Show the tenants that are there."""
    asyncio.run(_list(access))


@tenants.command("remove", cls=SettingsCommand)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options(RosterAccess)
def remove(access: RosterAccess, names: tuple[str, ...]) -> None:
    """Take tenants out: their keys are not known any more."""
    asyncio.run(_remove(access, names))


async def _put(access: RosterAccess, entries: list[Entry]) -> None:
    async with _roster(access) as roster:
        there = await roster.read()
        _check_apart(entries, there)
        bodies = {entry.tenant.name: written(entry) for entry in entries}
        await roster.put(bodies)
    for name, body in bodies.items():
        state = "added" if name not in there else "as it was" if there[name] == body else "changed"
        click.echo(f"{name}: {state}")


async def _list(access: RosterAccess) -> None:
    async with _roster(access) as roster:
        there = await roster.read()
    if not there:
        click.echo("no tenants there: baton tenants put FILE")
        return
    for line in aligned([_TITLES, *(_row(name, body) for name, body in sorted(there.items()))]):
        click.echo(line)


async def _remove(access: RosterAccess, names: tuple[str, ...]) -> None:
    async with _roster(access) as roster:
        missing = sorted(set(names) - (await roster.read()).keys())
        if missing:
            raise NotFoundError(f"no tenant {', '.join(missing)} there; nothing was removed")
        await roster.remove(names)
    for name in names:
        click.echo(f"{name}: removed")


@asynccontextmanager
async def _roster(access: RosterAccess) -> "AsyncIterator[RedisRoster]":
    access.redis.check()
    place = access.redis.place
    if place is None:
        raise SettingsError("--redis-url is missing: the Redis that the gateways meet in")
    roster = roster_in_redis(place, access.cluster_secret)
    try:
        yield roster
    finally:
        await roster.close()


def _check_apart(entries: list[Entry], there: "Records") -> None:
    """Raises SettingsError where a key is another tenant's, who stays."""
    changed = {entry.tenant.name for entry in entries}
    for name, body in there.items():
        if name in changed or body is None:
            continue
        try:
            other = read_record(name, body)
        except UnusableRecord:
            continue
        for entry in entries:
            if not set(entry.digests).isdisjoint(other.digests):
                raise SettingsError(f"a key of {entry.tenant.name} is {name}'s as well, in Redis")


def _row(name: str, body: bytes | None) -> tuple[str, ...]:
    if body is None:
        return name, "not signed with this secret"
    try:
        entry = read_record(name, body)
    except UnusableRecord as error:
        return name, f"cannot be used: {error}"
    quota = entry.tenant.quota
    limits = (quota.requests_per_minute, quota.tokens_per_minute, quota.concurrent_requests)
    told = ("-" if limit is None else f"{limit:g}" for limit in limits)
    return name, f"{entry.tenant.weight:g}", *told, str(len(entry.digests))
