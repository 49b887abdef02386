"""Which evicted blocks lie in which slot of host memory. It knows no bytes and no lock."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from baton.core.errors import InternalError
from baton.engine.blocks.kv_log import KvLog, Tier


@dataclass(slots=True, eq=False)
class Kept:
    """A slot with what is, or is about to be, in it."""

    slot: int
    name: bytes
    parent: bytes | None  # name of the block before; None: it holds a sequence's first tokens
    depth: int  # blocks from the sequence's first to this one
    users: int = 1  # copies under way, into it or out of it
    filled: bool = False  # the copy into it has ended
    gone: bool = False  # taken out meanwhile: whoever copies must not use it


@dataclass(frozen=True, slots=True)
class HostCounts:
    """A reading, in blocks. The first four only grow."""

    queries: int = 0  # looked up, having not been found on the device
    hits: int = 0  # of those found
    stored: int = 0  # copied into it
    evicted: int = 0  # overwritten for others
    used: int = 0
    total: int = 0

    @property
    def usage(self) -> float:
        """Share of the slots in use, 0 to 1."""
        return self.used / self.total if self.total else 0.0


@dataclass(slots=True)
class HostTier:
    """Slots by the names of what they hold, the least recently used overwritten first.

    Used means: given up by the device, or brought back to it. A parent is given up after its
    children and brought back with them, so it is overwritten after them.

    What it holds stays when it is brought back: given up again, it need not be copied again. A kept
    block's parent is kept too, or on the device; so whatever was computed from a block can be
    found, to be withdrawn with it.
    """

    num_slots: int
    log: KvLog = field(default_factory=KvLog)
    queries: int = 0
    hits: int = 0
    stored: int = 0
    evicted: int = 0
    _free: list[int] = field(init=False)
    _by_name: dict[bytes, Kept] = field(default_factory=dict)
    _below: dict[bytes, set[bytes]] = field(default_factory=dict)  # kept names by their parent's
    _idle: dict[bytes, Kept] = field(default_factory=dict)  # not being copied, the oldest first

    def __post_init__(self) -> None:
        self._free = list(range(self.num_slots))

    @property
    def counts(self) -> HostCounts:
        used = len(self._by_name)
        return HostCounts(self.queries, self.hits, self.stored, self.evicted, used, self.num_slots)

    def take_in(
        self, name: bytes, parent: bytes | None, on_device: Callable[[bytes], bool], depth: int = 1
    ) -> Kept | None:
        """The device has just given `name` up. Returns what to copy it into; then call `done`.

        None: it lies here already, or every slot is being copied.
        """
        if (kept := self._by_name.get(name)) is not None:
            self._touch(kept)
            return None
        if (slot := self._slot(on_device)) is None:
            self._withdraw_below([name])
            return None
        kept = self._by_name[name] = Kept(slot, name, parent, depth)
        self.log.stored(Tier.HOST, name, depth)
        if parent is not None:
            self._below.setdefault(parent, set()).add(name)
        self.stored += 1
        return kept

    def lend(self, names: Sequence[bytes], most: int) -> list[Kept]:
        """The longest run of `names` that can be read, up to `most`; then call `done`."""
        if not self.num_slots:
            return []
        run: list[Kept] = []
        for name in names[:most]:
            kept = self._by_name.get(name)
            if kept is None or not kept.filled:
                break
            run.append(kept)
        for kept in run:
            kept.users += 1
            self._idle.pop(kept.name, None)
        self.queries += len(names)
        self.hits += len(run)
        return run

    def done(self, copied: Iterable[Kept]) -> None:
        """The copies have ended. Parents come after their children."""
        for kept in copied:
            kept.users -= 1
            kept.filled = True
            if kept.users:
                continue
            if kept.gone:
                self._free.append(kept.slot)
            else:
                self._idle[kept.name] = kept

    def withdraw(self, names: Iterable[bytes]) -> None:
        """Takes them out, as far as they are here, and all that was computed from them."""
        gone = list(names)
        self._withdraw_below(gone)
        for name in gone:
            if (kept := self._by_name.get(name)) is not None:
                self._remove(kept)

    def check_integrity(self, on_device: Callable[[bytes], bool]) -> None:
        """Raises InternalError when the books do not balance. No copy is under way."""
        slots = [*self._free, *(kept.slot for kept in self._by_name.values())]
        if sorted(slots) != list(range(self.num_slots)) or self._idle.keys() != (
            self._by_name.keys()
        ):
            raise InternalError(f"slots {slots} of {self.num_slots} are not all kept or free")
        links = {(kept.parent, name) for name, kept in self._by_name.items() if kept.parent}
        if links != {(parent, name) for parent, names in self._below.items() for name in names}:
            raise InternalError("kept blocks are not linked to their parents")
        for parent, _ in links:
            if parent not in self._by_name and not on_device(parent):
                raise InternalError(f"a kept block is without its parent {parent.hex()}")

    def _touch(self, kept: Kept) -> None:
        if self._idle.pop(kept.name, None) is not None:
            self._idle[kept.name] = kept

    def _slot(self, on_device: Callable[[bytes], bool]) -> int | None:
        if not self._free and self._idle:
            oldest = next(iter(self._idle.values()))
            self.evicted += 1
            self._remove(oldest)
            if not on_device(oldest.name):
                self._withdraw_below([oldest.name])
        return self._free.pop() if self._free else None

    def _withdraw_below(self, names: Sequence[bytes]) -> None:
        below = list(names)
        for name in below:
            below += self._below.get(name, ())
        for name in below[len(names) :]:
            if (kept := self._by_name.get(name)) is not None:
                self._remove(kept)

    def _remove(self, kept: Kept) -> None:
        del self._by_name[kept.name]
        self.log.removed(Tier.HOST, kept.name, kept.depth)
        if kept.parent is not None:
            siblings = self._below[kept.parent]
            siblings.remove(kept.name)
            if not siblings:
                del self._below[kept.parent]
        if kept.users:
            kept.gone = True
        else:
            del self._idle[kept.name]
            self._free.append(kept.slot)
