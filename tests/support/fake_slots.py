"""Blocks and slots that hold words instead of bytes, and let others act while one is copied."""

from collections.abc import Callable


class FakeSlots:
    """`blocks` and `slots` by number. `meanwhile` runs in the middle of the next copy, once."""

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self.blocks: dict[int, bytes] = {}
        self.slots: dict[int, bytes] = {}
        self.copies: list[tuple[str, int, int]] = []  # (keep or bring, from, to)
        self._meanwhile: Callable[[], None] | None = None

    def meanwhile(self, act: Callable[[], None] | None) -> None:
        self._meanwhile = act

    def keep(self, block: int, slot: int) -> None:
        self.copies.append(("keep", block, slot))
        self._copy(self.blocks, block, self.slots, slot)

    def bring(self, slot: int, block: int) -> None:
        self.copies.append(("bring", slot, block))
        self._copy(self.slots, slot, self.blocks, block)

    def _copy(
        self, source: dict[int, bytes], start: int, target: dict[int, bytes], end: int
    ) -> None:
        """A read, whatever others do, and a write: a torn copy has something of both in it."""
        before = source.get(start, b"")
        target[end] = b"half of " + before
        act, self._meanwhile = self._meanwhile, None
        if act is not None:
            act()
        assert target[end] == b"half of " + before, "somebody else wrote there"
        assert source.get(start, b"") == before, "what was read has changed"
        target[end] = before
