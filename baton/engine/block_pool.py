"""Who holds which block, as counts, and what stays in those that nobody holds.

It knows no bytes and no requests; what must be copied before a block is used again, it has copied.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from baton.core.errors import InternalError
from baton.core.kv_events import KvChange
from baton.engine.host_cache import HostCache, Slots
from baton.engine.host_tier import HostCounts, Kept
from baton.engine.kv_log import KvLog, coalesced
from baton.engine.prefix_cache import PrefixCache


class Reservation:
    """Blocks set aside as a count, not yet as ids. Spent by one `allocate` or by `cancel`."""

    def __init__(self, pool: "BlockPool", count: int) -> None:
        self._pool = pool
        self._count = count

    @property
    def count(self) -> int:
        """Blocks still set aside; 0 once spent."""
        return self._count

    def cancel(self) -> None:
        """Gives the blocks back; does nothing once spent."""
        self._pool._cancel(self)


@dataclass(frozen=True, slots=True)
class Published:
    """A block as `publish` returned it, with its name: it may be gone by now, or reused."""

    block: int
    name: bytes


class BlockPool:
    """A free list, a reference count per block, and an index of what full blocks hold.

    Every method may be called from any thread. `free + reserved + used == total`. The free list is
    a queue: a block rests as long as possible before its next use. A block that is published when
    its last reference goes stays findable; it is free like any other, but taken only when no other
    is left. (While its name leads to blocks in use, it counts as used.)

    With `slots`, what such a block held is copied there before it is handed out, and `take_cached`
    brings it back. Both happen in the caller's thread, but not under the lock.
    """

    def __init__(
        self, num_blocks: int, slots: Slots | None = None, log: KvLog | None = None
    ) -> None:
        """`log` None: one of every block."""
        self._lock = threading.Lock()
        self._log = KvLog() if log is None else log
        self._host = HostCache(self._lock, slots, self._log)
        self._queue = deque(range(num_blocks))
        self._references = [0] * num_blocks
        self._cache = PrefixCache(self._log)
        self._reserved = 0
        self._on_free: list[Callable[[], None]] = []

    @property
    def total(self) -> int:
        return len(self._references)

    @property
    def free(self) -> int:
        """Blocks neither used nor reserved."""
        with self._lock:
            return self._available()

    @property
    def reserved(self) -> int:
        return self._reserved

    @property
    def host_counts(self) -> HostCounts:
        """Of `slots`."""
        with self._lock:
            return self._host.tier.counts

    @property
    def kv_number(self) -> int:
        """Of the latest event of the prefix cache."""
        return self._log.number

    def kv_change(self, after: int | None) -> KvChange:
        """What the prefix cache has gained and lost behind this event; all that it has, where that
        is not known any more, or for None.
        """
        with self._lock:
            events = None if after is None else self._log.since(after)
            if after is None or events is None:
                return self._log.snapshot()
        return coalesced(after, events)

    def on_free(self, callback: Callable[[], None]) -> None:
        """`callback` runs whenever blocks become free, in the thread that freed them, unlocked.

        It must not block. Register before the pool is shared between threads.
        """
        self._on_free.append(callback)

    def reserve(self, count: int) -> Reservation | None:
        """Sets `count` blocks aside, or refuses at once."""
        with self._lock:
            if count > self._available():
                return None
            self._reserved += count
            return Reservation(self, count)

    def allocate(
        self, count: int, reservation: Reservation | None = None
    ) -> tuple[int, ...] | None:
        """`count` blocks with one reference each, or None and nothing changed.

        The reservation is spent whole: what it holds beyond `count` becomes free. One that is
        spent already counts for nothing, and the call competes like any other.
        """
        with self._lock:
            held = reservation._count if reservation else 0
            if count > self._available() + held:
                return None
            if reservation:
                self._spend(reservation)
            blocks, given_up = self._take(count)
        self._host.keep(given_up)
        if held > count:
            self._tell_free()
        return blocks

    def retain(self, blocks: Sequence[int]) -> None:
        """One more reference on each; InternalError, and nothing changed, if one is free."""
        with self._lock:
            self._check_held(Counter(dict.fromkeys(blocks, 1)))
            for block in blocks:
                self._hold(block)

    def take_cached(self, names: Sequence[bytes], room: int) -> tuple[int, ...] | None:
        """The blocks of the longest run of `names` that are published, one reference more on each.

        What follows it in the slots is brought back first, as far as there is room, and published.

        None, and nothing changed, unless with them there is room for `room` blocks in all; which
        promises nothing, for other threads allocate too.
        """
        with self._lock:
            run = self._cache.find(names)
            idle = self._cache.num_idle_up_from(run[-1]) if run else 0
            if max(0, room - len(run)) + idle > self._available():
                return None
            for block in run:
                self._hold(block)
            found = self._host.tier.lend(names[len(run) :], self._available())
            blocks, given_up = self._take(len(found))
        if not found:
            return tuple(run)
        self._host.keep(given_up)
        parent = Published(run[-1], names[len(run) - 1]) if run else None
        return (*run, *self._bring(found, blocks, parent))

    def publish(
        self, block: int, name: bytes, parent: Published | None, may_swap: bool = True
    ) -> int | None:
        """From now on `name` finds `block`, which is full, held, and not written any more.

        The first that is published under a name keeps it: a later one with the same contents stays
        as it is, or, if it `may_swap`, gives its reference to the first. Returns the first: the
        parent of what comes next, and with `may_swap` what the caller holds now.

        None, and nothing changed: its `parent` (None: it is a sequence's first block) is not
        published any more, or to keep it would take blocks which are reserved. A block of somebody
        else's chain is not swapped in behind withdrawn parents either: it would pin that chain
        beside our own, and a pool that holds either may not hold both.
        """
        with self._lock:
            before = self._unused()
            self._check_held(Counter((block,)))
            first = self._publish(block, name, parent, may_swap)
            freed = self._unused() > before
        if freed:
            self._tell_free()
        return first

    def withdraw(self, blocks: Sequence[int]) -> None:
        """No name finds these blocks any more, nor what was computed from them."""
        with self._lock:
            before = self._unused()
            for block in blocks:
                free, names = self._cache.withdraw(block)
                self._queue += free
                self._host.tier.withdraw(names)
            freed = self._unused() > before
        if freed:
            self._tell_free()

    def release(self, blocks: Sequence[int]) -> None:
        """One reference less on each; InternalError, and nothing changed, where there is none."""
        freed = False
        with self._lock:
            self._check_held(Counter(blocks))
            for block in reversed(blocks):
                freed |= self._drop(block)
        if freed:
            self._tell_free()

    def check_integrity(self) -> None:
        """Raises InternalError when the books do not balance."""
        with self._lock:
            blocks = enumerate(self._references)
            unused = {block for block, count in blocks if not count and block not in self._cache}
            if len(self._queue) != len(unused) or set(self._queue) != unused:
                raise InternalError(f"free list {list(self._queue)} is not {sorted(unused)}")
            self._cache.check_integrity([b for b, count in enumerate(self._references) if count])
            if not 0 <= self._reserved <= self._unused():
                raise InternalError(f"{self._reserved} reserved of {self._unused()} unused blocks")
            self._host.tier.check_integrity(self._is_published)

    def _is_published(self, name: bytes) -> bool:
        return self._cache.get(name) is not None

    def _publish(
        self, block: int, name: bytes, parent: Published | None, may_swap: bool
    ) -> int | None:
        if parent is not None and self._cache.name_of(parent.block) != parent.name:
            return None
        first = self._cache.get(name)
        if first == block or (first is not None and not may_swap):
            return first
        if block in self._cache:
            raise InternalError(f"block {block} is published under another name")
        if first is None:
            return block if self._add(block, name, parent) else None
        gained = self._references[block] == 1
        if self._cache.num_idle_up_from(first) - gained > self._available():
            return None
        self._hold(first)
        self._drop(block)
        return first

    def _add(self, block: int, name: bytes, parent: Published | None) -> bool:
        above = None if parent is None else parent.block
        if above is not None and self._cache.num_idle_up_from(above) > self._available():
            return False
        self._cache.add(block, name, above)
        return True

    def _unused(self) -> int:
        return len(self._queue) + self._cache.num_idle

    def _available(self) -> int:
        return self._unused() - self._reserved

    def _take(self, count: int) -> tuple[tuple[int, ...], list[tuple[int, Kept]]]:
        """Blocks with a reference each, and which of them to copy where before anybody has them."""
        blocks: list[int] = []
        given_up: list[tuple[int, Kept]] = []
        for _ in range(count):
            blocks.append(self._queue.popleft() if self._queue else self._evict(given_up))
            self._references[blocks[-1]] = 1
        return tuple(blocks), given_up

    def _evict(self, given_up: list[tuple[int, Kept]]) -> int:
        gone = self._cache.evict()
        kept = self._host.tier.take_in(gone.name, gone.parent, self._is_published, gone.depth)
        if kept is not None:
            given_up.append((gone.block, kept))
        return gone.block

    def _bring(
        self, found: list[Kept], blocks: tuple[int, ...], parent: Published | None
    ) -> list[int]:
        """What could be published of it, with a reference on each: meanwhile it may have been
        withdrawn, or published by another. Called unlocked.
        """
        self._host.bring(found, blocks)
        run: list[int] = []
        with self._lock:
            before = self._unused()
            for kept, block in zip(found, blocks, strict=True):
                first = None if kept.gone else self._publish(block, kept.name, parent, True)
                if first is None:
                    break
                run.append(first)
                parent = Published(first, kept.name)
            for block in blocks[len(run) :]:
                self._drop(block)
            self._host.tier.done(reversed(found))
            freed = self._unused() > before
        if freed:
            self._tell_free()
        return run

    def _hold(self, block: int) -> None:
        if not self._references[block]:
            self._cache.hold(block)
        self._references[block] += 1

    def _drop(self, block: int) -> bool:
        """One reference less; True if it was the last."""
        self._references[block] -= 1
        if self._references[block]:
            return False
        if not self._cache.drop(block):
            self._queue.append(block)
        return True

    def _check_held(self, wanted: Counter[int]) -> None:
        for block, count in wanted.items():
            if not 0 <= block < self.total or self._references[block] < count:
                raise InternalError(f"block {block} is not held by whoever uses it")

    def _spend(self, reservation: Reservation) -> None:
        self._reserved -= reservation._count
        reservation._count = 0

    def _cancel(self, reservation: Reservation) -> None:
        with self._lock:
            held = reservation._count
            self._spend(reservation)
        if held:
            self._tell_free()

    def _tell_free(self) -> None:
        for callback in self._on_free:
            callback()
