"""What the prefix cache gained and lost, numbered, for whoever follows it. It has no lock."""

from collections import deque
from enum import IntEnum
from itertools import islice

from baton.core.kv_events import KvChange, key_of

REMEMBERED = (
    1 << 14
)  # events: two million tokens read within the tenth of a second that a reader waits


class Tier(IntEnum):
    POOL = 0
    HOST = 1


class KvLog:
    """The cache's books at strides, and the latest events. Called under the pool's lock.

    It costs its callers a division, and at one block of a stride a set and a queue; the oldest
    events make room for new ones, and a reader who has missed some begins with all that there is.
    """

    def __init__(self, blocks_per_stride: int = 1, remembered: int = REMEMBERED) -> None:
        self._every = blocks_per_stride
        self._held: tuple[set[int], set[int]] = (set(), set())
        self._events: deque[tuple[Tier, int, bool]] = deque(maxlen=remembered)
        self.number = 0  # of the latest event

    def stored(self, tier: Tier, name: bytes, depth: int) -> None:
        """`depth`: blocks of the prefix that `name` names."""
        if depth % self._every == 0:
            key = key_of(name)
            self._held[tier].add(key)
            self._note(tier, key, True)

    def removed(self, tier: Tier, name: bytes, depth: int) -> None:
        if depth % self._every == 0:
            key = key_of(name)
            self._held[tier].discard(key)
            self._note(tier, key, False)

    def since(self, after: int) -> list[tuple[Tier, int, bool]] | None:
        """The events behind this one, for `coalesced`; None where they are not known any more."""
        count = self.number - after
        if not 0 <= count <= len(self._events):
            return None
        return list(islice(self._events, len(self._events) - count, None))

    def snapshot(self) -> KvChange:
        pool, host = (tuple(keys) for keys in self._held)
        return KvChange(0, self.number, snapshot=True, stored=pool, stored_on_host=host)

    def _note(self, tier: Tier, key: int, stored: bool) -> None:
        self._events.append((tier, key, stored))
        self.number += 1


def coalesced(after: int, events: list[tuple[Tier, int, bool]]) -> KvChange:
    """What they come to, in no order."""
    last = {(tier, key): stored for tier, key, stored in events}

    def keys(tier: Tier, stored: bool) -> tuple[int, ...]:
        return tuple([key for (t, key), s in last.items() if t is tier and s is stored])

    return KvChange(
        after,
        after + len(events),
        stored=keys(Tier.POOL, True),
        removed=keys(Tier.POOL, False),
        stored_on_host=keys(Tier.HOST, True),
        removed_from_host=keys(Tier.HOST, False),
    )
