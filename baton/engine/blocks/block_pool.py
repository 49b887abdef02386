"""The blocks that several threads share: reserved, allocated, found again and given back."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from baton.core.kv_events import KvChange
from baton.engine.blocks.block_books import BlockBooks, Published
from baton.engine.blocks.host_cache import HostCache, Slots
from baton.engine.blocks.host_tier import HostCounts, Kept
from baton.engine.blocks.kv_log import KvLog, coalesced
from baton.engine.blocks.reservation import Reservation

KEPT_SHARE = 0.25  # of a pool, that may be given up last; the rest caches for everybody


class BlockPool:
    """The books behind one lock, and who is told when blocks become free.

    Every method may be called from any thread. `free + reserved + used == total`. The free list is
    a queue: a block rests as long as possible before its next use. A block that is published when
    its last reference goes stays findable; it is free like any other, but taken only when no other
    is left. (While its name leads to blocks in use, it counts as used.)

    With `slots`, what such a block held is copied there before it is handed out, and `take_cached`
    brings it back. Both happen in the caller's thread, but not under the lock.
    """

    def __init__(
        self,
        num_blocks: int,
        slots: Slots | None = None,
        log: KvLog | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`log` None: one of every block."""
        self._clock = clock
        self._lock = threading.Lock()
        self._log = KvLog() if log is None else log
        self._host = HostCache(self._lock, slots, self._log)
        self._books = BlockBooks(num_blocks, self._host.tier, self._log)
        self._on_free: list[Callable[[], None]] = []

    @property
    def total(self) -> int:
        return self._books.total

    @property
    def free(self) -> int:
        """Blocks neither used nor reserved."""
        with self._lock:
            return self._books.available

    @property
    def reserved(self) -> int:
        return self._books.reserved

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
            if count > self._books.available:
                return None
            self._books.reserved += count
            return Reservation(count, self._cancel)

    def allocate(
        self, count: int, reservation: Reservation | None = None
    ) -> tuple[int, ...] | None:
        """`count` blocks with one reference each, or None and nothing changed.

        The reservation is spent whole: what it holds beyond `count` becomes free. One that is
        spent already counts for nothing, and the call competes like any other.
        """
        with self._lock:
            held = reservation.count if reservation else 0
            if count > self._books.available + held:
                return None
            if reservation:
                self._books.reserved -= reservation.spend()
            self._books.cache.expire(self._clock())
            taken = self._books.take(count)
        self._host.keep(taken.given_up)
        if held > count:
            self._tell_free()
        return taken.blocks

    def retain(self, blocks: Sequence[int]) -> None:
        """One more reference on each; InternalError, and nothing changed, if one is free."""
        with self._lock:
            self._books.check_held(Counter(dict.fromkeys(blocks, 1)))
            for block in blocks:
                self._books.hold(block)

    def take_cached(self, names: Sequence[bytes], room: int) -> tuple[int, ...] | None:
        """The blocks of the longest run of `names` that are published, one reference more on each.

        What follows it in the slots is brought back first, as far as there is room, and published.

        None, and nothing changed, unless with them there is room for `room` blocks in all; which
        promises nothing, for other threads allocate too.
        """
        books = self._books
        with self._lock:
            run = books.cache.find(names)
            idle = books.cache.num_idle_up_from(run[-1]) if run else 0
            if max(0, room - len(run)) + idle > books.available:
                return None
            for block in run:
                books.hold(block)
            books.cache.expire(self._clock())
            found = self._host.tier.lend(names[len(run) :], books.available)
            taken = books.take(len(found))
        if not found:
            return tuple(run)
        self._host.keep(taken.given_up)
        parent = Published(run[-1], names[len(run) - 1]) if run else None
        return (*run, *self._bring(found, taken.blocks, parent))

    def publish(
        self,
        blocks: Sequence[int],
        names: Sequence[bytes],
        parent: Published | None,
        may_swap: bool = True,
    ) -> list[int]:
        """From now on each of `names` finds its block of the run, which is full, held, and not
        written any more. `parent` stands before the run; None: it is a sequence's first.

        The first that is published under a name keeps it: a later one with the same contents stays
        as it is, or, if it `may_swap`, gives its reference to the first. Returns the first ones: the
        parents of what comes next, and with `may_swap` what the caller holds now.

        They end, and nothing changed behind them, where a parent is not published any more, or where
        to keep a block would take some which are reserved. A block of somebody else's chain is not
        swapped in behind withdrawn parents either: it would pin that chain beside our own, and a
        pool that holds either may not hold both.
        """
        run: list[int] = []
        with self._telling():
            self._books.check_held(Counter(blocks))
            for block, name in zip(blocks, names, strict=True):
                first = self._books.publish(block, name, parent, may_swap)
                if first is None:
                    break
                run.append(first)
                parent = Published(first, name)
        return run

    def keep(self, block: int, seconds: float) -> None:
        """For so long this published block, and all before it, are given up after all others; as
        many of the first ones as `KEPT_SHARE` of the pool leaves room for.
        """
        with self._lock:
            now = self._clock()
            self._books.cache.expire(now)
            self._books.cache.keep(block, now + seconds, int(self.total * KEPT_SHARE))

    def withdraw(self, blocks: Sequence[int]) -> None:
        """No name finds these blocks any more, nor what was computed from them."""
        with self._telling():
            self._books.withdraw(blocks)

    def release(self, blocks: Sequence[int]) -> None:
        """One reference less on each; InternalError, and nothing changed, where there is none."""
        freed = False
        with self._lock:
            self._books.check_held(Counter(blocks))
            for block in reversed(blocks):
                freed |= self._books.drop(block)
        if freed:
            self._tell_free()

    def check_integrity(self) -> None:
        """Raises InternalError when the books do not balance."""
        with self._lock:
            self._books.check_integrity()

    def _bring(
        self, found: list[Kept], blocks: tuple[int, ...], parent: Published | None
    ) -> list[int]:
        """What could be published of it, with a reference on each: meanwhile it may have been
        withdrawn, or published by another. Called unlocked.
        """
        self._host.bring(found, blocks)
        run: list[int] = []
        with self._telling():
            for kept, block in zip(found, blocks, strict=True):
                first = None if kept.gone else self._books.publish(block, kept.name, parent, True)
                if first is None:
                    break
                run.append(first)
                parent = Published(first, kept.name)
            for block in blocks[len(run) :]:
                self._books.drop(block)
            self._host.tier.done(reversed(found))
        return run

    def _cancel(self, reservation: Reservation) -> None:
        with self._lock:
            held = reservation.spend()
            self._books.reserved -= held
        if held:
            self._tell_free()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Under the lock; whoever waits for blocks hears of it when there are more than before."""
        with self._lock:
            before = self._books.unused
            yield
            freed = self._books.unused > before
        if freed:
            self._tell_free()

    def _tell_free(self) -> None:
        for callback in self._on_free:
            callback()
