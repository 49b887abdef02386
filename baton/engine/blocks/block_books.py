"""Who holds which block, as counts, and what stays in those that nobody holds: one thread's view.

It knows no bytes, no requests and no lock; the pool brings the lock and does the copying.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from baton.core.errors import InternalError
from baton.engine.blocks.host_tier import HostTier, Kept
from baton.engine.blocks.kv_log import KvLog
from baton.engine.blocks.prefix_cache import PrefixCache


@dataclass(frozen=True, slots=True)
class Published:
    """A block as `publish` returned it, with its name: it may be gone by now, or reused."""

    block: int
    name: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """Blocks with a reference each, and which of them to copy where before anybody has them."""

    blocks: tuple[int, ...]
    given_up: list[tuple[int, Kept]]


class BlockBooks:
    """A free list, a reference count per block, and an index of what full blocks hold.

    `unused` blocks have no reference and, if published, pin nothing in use; of them `reserved` are
    promised as a count. Whatever gives up a published block tells `tier`, which may keep its
    contents.
    """

    def __init__(self, num_blocks: int, tier: HostTier, log: KvLog) -> None:
        """`log` is told what gets and loses its name; the tier tells it by itself."""
        self.references = [0] * num_blocks
        self.cache = PrefixCache(log)
        self.reserved = 0
        self._queue = deque(range(num_blocks))
        self._tier = tier

    @property
    def total(self) -> int:
        return len(self.references)

    @property
    def unused(self) -> int:
        return len(self._queue) + self.cache.num_idle

    @property
    def available(self) -> int:
        """Unused and not reserved."""
        return self.unused - self.reserved

    def take(self, count: int) -> Taken:
        """So many must be unused."""
        blocks: list[int] = []
        given_up: list[tuple[int, Kept]] = []
        for _ in range(count):
            blocks.append(self._queue.popleft() if self._queue else self._evict(given_up))
            self.references[blocks[-1]] = 1
        return Taken(tuple(blocks), given_up)

    def hold(self, block: int) -> None:
        if not self.references[block]:
            self.cache.hold(block)
        self.references[block] += 1

    def drop(self, block: int) -> bool:
        """One reference less; True if it was the last."""
        self.references[block] -= 1
        if self.references[block]:
            return False
        if not self.cache.drop(block):
            self._queue.append(block)
        return True

    def publish(
        self, block: int, name: bytes, parent: Published | None, may_swap: bool
    ) -> int | None:
        """As `BlockPool.publish` says."""
        if parent is not None and self.cache.name_of(parent.block) != parent.name:
            return None
        first = self.cache.get(name)
        if first == block or (first is not None and not may_swap):
            return first
        if block in self.cache:
            raise InternalError(f"block {block} is published under another name")
        if first is None:
            return block if self._add(block, name, parent) else None
        gained = self.references[block] == 1
        if self.cache.num_idle_up_from(first) - gained > self.available:
            return None
        self.hold(first)
        self.drop(block)
        return first

    def withdraw(self, blocks: Sequence[int]) -> None:
        """No name finds these blocks any more, nor what was computed from them."""
        for block in blocks:
            free, names = self.cache.withdraw(block)
            self._queue += free
            self._tier.withdraw(names)

    def check_held(self, wanted: Counter[int]) -> None:
        """InternalError unless each block has so many references."""
        for block, count in wanted.items():
            if not 0 <= block < self.total or self.references[block] < count:
                raise InternalError(f"block {block} is not held by whoever uses it")

    def check_integrity(self) -> None:
        """Raises InternalError when they do not balance."""
        blocks = enumerate(self.references)
        unused = {block for block, count in blocks if not count and block not in self.cache}
        if len(self._queue) != len(unused) or set(self._queue) != unused:
            raise InternalError(f"free list {list(self._queue)} is not {sorted(unused)}")
        self.cache.check_integrity([b for b, count in enumerate(self.references) if count])
        if not 0 <= self.reserved <= self.unused:
            raise InternalError(f"{self.reserved} reserved of {self.unused} unused blocks")
        self._tier.check_integrity(self._is_published)

    def _add(self, block: int, name: bytes, parent: Published | None) -> bool:
        above = None if parent is None else parent.block
        if above is not None and self.cache.num_idle_up_from(above) > self.available:
            return False
        self.cache.add(block, name, above)
        return True

    def _evict(self, given_up: list[tuple[int, Kept]]) -> int:
        gone = self.cache.evict()
        kept = self._tier.take_in(gone.name, gone.parent, self._is_published, gone.depth)
        if kept is not None:
            given_up.append((gone.block, kept))
        return gone.block

    def _is_published(self, name: bytes) -> bool:
        return self.cache.get(name) is not None
