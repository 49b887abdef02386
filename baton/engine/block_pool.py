"""Who holds which block, as counts. It knows no bytes and no requests."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence

from baton.core.errors import InternalError


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


class BlockPool:
    """A free list and a reference count per block. Every method may be called from any thread.

    `free + reserved + used == total`. The free list is a queue: a block rests as long as possible
    before its next use.
    """

    def __init__(self, num_blocks: int) -> None:
        self._lock = threading.Lock()
        self._queue = deque(range(num_blocks))
        self._references = [0] * num_blocks
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
            blocks = tuple(self._queue.popleft() for _ in range(count))
            for block in blocks:
                self._references[block] = 1
        if held > count:
            self._tell_free()
        return blocks

    def retain(self, blocks: Sequence[int]) -> None:
        """One more reference on each; InternalError, and nothing changed, if one is free."""
        with self._lock:
            self._check_held(Counter(dict.fromkeys(blocks, 1)))
            for block in blocks:
                self._references[block] += 1

    def release(self, blocks: Sequence[int]) -> None:
        """One reference less on each; InternalError, and nothing changed, where there is none."""
        freed = False
        with self._lock:
            self._check_held(Counter(blocks))
            for block in blocks:
                self._references[block] -= 1
                if not self._references[block]:
                    self._queue.append(block)
                    freed = True
        if freed:
            self._tell_free()

    def check_integrity(self) -> None:
        """Raises InternalError when the books do not balance."""
        with self._lock:
            unused = {block for block, count in enumerate(self._references) if not count}
            if len(self._queue) != len(unused) or set(self._queue) != unused:
                raise InternalError(f"free list {list(self._queue)} is not {sorted(unused)}")
            if not 0 <= self._reserved <= len(self._queue):
                raise InternalError(
                    f"{self._reserved} reserved of {len(self._queue)} unused blocks"
                )

    def _available(self) -> int:
        return len(self._queue) - self._reserved

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
