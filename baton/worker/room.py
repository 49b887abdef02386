"""Room for one request: what the prefix cache has of it, pinned, and as a count what it lacks."""

import asyncio
from collections.abc import Callable, Sequence

from baton.core.errors import RefusedError
from baton.engine.block_pool import BlockPool
from baton.engine.reservation import Reservation


class Room:
    """Call everything on one asyncio loop's thread; `close` at the end, whatever was taken."""

    def __init__(
        self,
        blocks: BlockPool,
        names: Sequence[bytes],
        wanted: int,
        seconds: float | None,
        changed: Callable[[], None],
    ) -> None:
        """Sets `wanted` blocks aside, those that `names` find among them; RefusedError at once
        where there are too few. The count expires after `seconds`, if any; `changed` is called then.

        More than the whole pool is never set aside: such a request is alone here, or waits.
        """
        self._blocks = blocks
        self._changed = changed
        wanted = min(wanted, blocks.total)
        cached = blocks.take_cached(names, wanted)
        if cached is None:
            raise RefusedError(f"no room for {wanted} KV blocks now")
        reservation = blocks.reserve(wanted - len(cached))
        if reservation is None:  # another thread was faster
            blocks.release(cached)
            raise RefusedError(f"no room for {wanted} KV blocks now")
        self._cached = cached
        self.reservation: Reservation = reservation
        self._expiry: asyncio.TimerHandle | None = None
        if seconds is not None:
            self._expiry = asyncio.get_running_loop().call_later(seconds, self._expire)
        changed()

    def take_cached(self) -> tuple[int, ...]:
        """The cached blocks, in order, with one reference each that is the caller's now."""
        cached, self._cached = self._cached, ()
        return cached

    def close(self) -> None:
        """Gives back what was not taken; a second call does nothing."""
        if self._expiry is not None:
            self._expiry.cancel()
        self.reservation.cancel()
        self._blocks.release(self.take_cached())
        self._changed()

    def _expire(self) -> None:
        self.reservation.cancel()
        self._changed()
