"""What the pool had to give up, copied to host memory and back."""

import threading
from collections.abc import Sequence
from typing import Protocol

from baton.engine.blocks.host_tier import HostTier, Kept
from baton.engine.blocks.kv_log import KvLog


class Slots(Protocol):
    """Memory beside the pool's, a block in each. Several threads copy at once."""

    @property
    def num_slots(self) -> int: ...

    def keep(self, block: int, slot: int) -> None:
        """Copies a block into a slot."""
        ...

    def bring(self, slot: int, block: int) -> None:
        """Copies a slot into a block."""
        ...


class HostCache:
    """`tier` is used under the pool's lock, `keep` and `bring` without it.

    Copies run in the thread that allocates. That is safe: what is copied is published, so nobody
    writes it; the block that it leaves or enters is that thread's alone, and nobody was told of it
    yet; and a slot is given to nobody else while it is being copied.
    """

    def __init__(self, lock: threading.Lock, slots: Slots | None, log: KvLog) -> None:
        """`lock` is the pool's. `slots` None: nothing is kept."""
        self._lock = lock
        self._slots = slots
        self.tier = HostTier(0 if slots is None else slots.num_slots, log)

    def keep(self, given_up: Sequence[tuple[int, Kept]]) -> None:
        """Blocks with what they are to be copied into, children first."""
        if self._slots is None or not given_up:
            return
        for block, kept in given_up:
            self._slots.keep(block, kept.slot)
        with self._lock:
            self.tier.done(kept for _, kept in given_up)

    def bring(self, found: Sequence[Kept], blocks: Sequence[int]) -> None:
        """Copies what was lent into blocks; `tier.done` is still to be called."""
        if self._slots is None:
            return
        for kept, block in zip(found, blocks, strict=True):
            self._slots.bring(kept.slot, block)
