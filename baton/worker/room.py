"""Room for one request: what the prefix cache has of it, pinned, and as a count what it lacks."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from baton.core.errors import RefusedError
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.blocks.reservation import Reservation


@dataclass(frozen=True, slots=True)
class Held:
    """Taken out of the pool: give it to a `Room`, or back."""

    cached: tuple[int, ...]  # one reference each
    reservation: Reservation

    def give_back(self, blocks: BlockPool) -> None:
        self.reservation.cancel()
        blocks.release(self.cached)


def hold(blocks: BlockPool, names: Sequence[bytes], wanted: int) -> Held | None:
    """Sets `wanted` blocks aside, those that `names` find among them; None at once where there are
    too few. Callable from any thread.

    More than the whole pool is never set aside: such a request is alone here, or waits.
    """
    wanted = min(wanted, blocks.total)
    cached = blocks.take_cached(names, wanted)
    if cached is None:
        return None
    reservation = blocks.reserve(wanted - len(cached))
    if reservation is None:  # another thread was faster
        blocks.release(cached)
        return None
    return Held(cached, reservation)


class Room:
    """Call everything on one asyncio loop's thread; `close` at the end, whatever was taken."""

    def __init__(
        self,
        blocks: BlockPool,
        held: Held,
        seconds: float | None,
        changed: Callable[[], None],
    ) -> None:
        """The count expires after `seconds`, if any; `changed` is called then."""
        self._blocks = blocks
        self._changed = changed
        self._cached = held.cached
        self.reservation = held.reservation
        self._expiry: asyncio.TimerHandle | None = None
        if seconds is not None:
            self._expiry = asyncio.get_running_loop().call_later(seconds, self._expire)
        changed()

    @classmethod
    def take(
        cls,
        blocks: BlockPool,
        names: Sequence[bytes],
        wanted: int,
        seconds: float | None,
        changed: Callable[[], None],
    ) -> "Room":
        """As `hold` has it; RefusedError at once where there are too few."""
        if (held := hold(blocks, names, wanted)) is None:
            raise no_room(wanted)
        return cls(blocks, held, seconds, changed)

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


def no_room(wanted: int) -> RefusedError:
    return RefusedError(f"no room for {wanted} KV blocks now")
