"""API keys and whose they are. Only their digests are kept."""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from baton.core.errors import SettingsError
from gateway.tenants.shared_tenants import SharedTenants
from gateway.tenants.tenant import DEFAULT, Known
from gateway.tenants.tenants_file import read_tenants

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0  # seconds between two looks at the file

Mark = tuple[int, int, int]  # what differs when a file was written again


class Roster:
    """Keys of the start, and those of a file or of Redis, which may change meanwhile. A file that
    cannot be used any more changes nothing, and the log says why, once. Raises SettingsError at the
    start.
    """

    def __init__(
        self,
        keys: Sequence[str],
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedTenants | None = None,
    ) -> None:
        digests = [digest_of(key.encode()) for key in keys if key]
        self._fixed = {digest: Known(DEFAULT, digest) for digest in digests}
        self._file = file
        self._clock = clock
        self._shared = shared
        self._looked = clock()
        self._mark = _mark(file)
        self._from_file = read_tenants(file) if file is not None else {}

    def __bool__(self) -> bool:
        """Whether a key is asked for."""
        return bool(self._fixed) or self._file is not None or self._shared is not None

    @property
    def trouble(self) -> str | None:
        """Why a key that is not found may be somebody's all the same, as a sentence."""
        return None if self._shared is None else self._shared.trouble

    async def run(self) -> None:
        """Follows what is in Redis until it is cancelled. Raises SettingsError where trying again cannot
        help.
        """
        if self._shared is None:
            await asyncio.Event().wait()
        else:
            await self._shared.run()

    async def began(self) -> None:
        """Until what is in Redis was read, or found to be away."""
        if self._shared is not None:
            await self._shared.began()

    def find(self, key: bytes) -> Known | None:
        """None for an unknown one. Takes as long for every key."""
        self._look()
        shown = digest_of(key)
        found: Known | None = None
        shared = {} if self._shared is None else self._shared.by_digest
        for known in (self._from_file, shared, self._fixed):
            for digest, whose in known.items():
                if hmac.compare_digest(shown, digest):
                    found = whose
        return found

    def _look(self) -> None:
        now = self._clock()
        if self._file is None or now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        mark = _mark(self._file)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._from_file = read_tenants(self._file)
        except SettingsError as error:
            logger.error("%s; going on with the tenants of before", error)
        else:
            logger.info("read the tenants again: %d keys", len(self._from_file))


def digest_of(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


def _mark(file: Path | None) -> Mark | None:
    try:
        status = file.stat() if file is not None else None
    except OSError:
        return None
    return None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)
