"""Tenants whose records stand in Redis, as far as this gateway can use them."""

import json
import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from gateway.tenants.entry import Entry, WrongEntry, read_entry
from gateway.tenants.tenant import Known

if TYPE_CHECKING:
    from baton.registry.redis_roster import RedisRoster

logger = logging.getLogger(__name__)


class UnusableRecord(Exception):
    """The message says why."""


def written(entry: Entry) -> bytes:
    """A record; no key is in it."""
    return json.dumps(entry.fields(), sort_keys=True).encode()


def read_record(name: str, body: bytes, taken: Collection[str] = ()) -> Entry:
    """`taken`: digests that others have. Raises UnusableRecord."""
    try:
        said = json.loads(body)
    except ValueError as error:
        raise UnusableRecord("it is no JSON") from error
    if isinstance(said, dict) and "keys" in said:
        raise UnusableRecord("it holds keys themselves; only `key_sha256` may stand in Redis")
    try:
        entry = read_entry(said, "tenant", taken)
    except WrongEntry as error:
        raise UnusableRecord(str(error)) from error
    if entry.tenant.name != name:
        raise UnusableRecord(f"it describes {entry.tenant.name!r}")
    return entry


class SharedTenants:
    """`by_digest` follows Redis while `run()` runs. A record that cannot be used changes nothing: its
    tenant stays as it was, and the log says why, once.
    """

    def __init__(self, source: "RedisRoster") -> None:
        self._source = source
        self._entries: dict[str, Entry] = {}  # by name
        self._bodies: dict[str, bytes] = {}  # that they were read from
        self._refused: dict[str, bytes] = {}
        self.by_digest: dict[str, Known] = {}

    @property
    def trouble(self) -> str | None:
        """Why nobody is known yet, as a sentence."""
        return self._source.trouble

    async def began(self) -> None:
        """Until they were read, or Redis was found to be away."""
        await self._source.began.wait()

    async def run(self) -> None:
        """Until it is cancelled. Raises SettingsError where trying again cannot help."""
        await self._source.run(self._take)

    def _take(self, records: Mapping[str, bytes | None]) -> None:
        """Who has a key keeps it: what is new is looked at last."""
        entries: dict[str, Entry] = {}
        by_digest: dict[str, Known] = {}
        news = {name for name, body in records.items() if body != self._bodies.get(name)}
        for name in sorted(records, key=lambda name: (name in news, name)):
            entry = self._entry(name, records[name], by_digest)
            if entry is not None:
                entries[name] = entry
                for digest in entry.digests:
                    by_digest.setdefault(digest, entry.known)
        self._entries, self.by_digest = entries, by_digest
        self._bodies = {n: body for n, body in self._bodies.items() if n in entries}
        logger.info("tenants in Redis: %d, with %d keys", len(entries), len(by_digest))

    def _entry(self, name: str, body: bytes | None, taken: Collection[str]) -> Entry | None:
        """The one of before, where there is none that can be used."""
        before = self._entries.get(name)
        if body is None:
            return before
        try:
            entry = read_record(name, body, taken)
        except UnusableRecord as error:
            if self._refused.get(name) != body:
                self._refused[name] = body
                logger.error("tenant %r in Redis stays as it was: %s", name, error)
            return before
        self._refused.pop(name, None)
        self._bodies[name] = body
        return entry
