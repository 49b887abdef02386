"""Which blocks hold which prefix, and which of them may go first. It knows no bytes and no lock."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from baton.core.errors import InternalError
from baton.engine.blocks.kv_log import KvLog, Tier

NEVER = float("-inf")


@dataclass(slots=True, eq=False)
class _Entry:
    """A published block. `pins`: 1 while somebody holds the block, and 1 per pinned child."""

    block: int
    name: bytes
    parent: "_Entry | None"
    depth: int  # blocks from the sequence's first to this one
    children: "set[_Entry]" = field(default_factory=set)
    pins: int = 0
    kept_until: float = NEVER


@dataclass(frozen=True, slots=True)
class Evicted:
    """A block that was found by `name` until now."""

    block: int
    name: bytes
    parent: bytes | None  # name of the block before
    depth: int  # blocks from the sequence's first to this one


class PrefixCache:
    """A forest of published blocks, each below the one that holds the tokens before its own.

    A block that nobody holds and that has no pinned child is idle: it keeps its contents and is
    found until it is evicted, the one that became idle first going first. Whatever is pinned pins
    its parent, so a parent becomes idle after all its children: the oldest idle block never has
    any left, and no cached block is ever without its parent.

    Some are to be kept until a time: they are evicted after all others, and their parents are kept
    at least as long. That is all: they are as free as the others to whoever needs the last block.

    Its owner counts the references and says when the first comes (`hold`) and the last goes
    (`drop`).
    """

    def __init__(self, log: KvLog) -> None:
        self._log = log
        self._by_name: dict[bytes, _Entry] = {}
        self._by_block: dict[int, _Entry] = {}
        self._idle: dict[int, _Entry] = {}  # by block, the oldest first
        self._idle_kept: dict[int, _Entry] = {}  # likewise
        self._kept: dict[int, _Entry] = {}  # idle or not
        self._next_expiry = float("inf")  # of none before this

    def __contains__(self, block: int) -> bool:
        return block in self._by_block

    @property
    def num_idle(self) -> int:
        """How often `evict` can be called."""
        return len(self._idle) + len(self._idle_kept)

    @property
    def num_kept(self) -> int:
        return len(self._kept)

    def num_idle_up_from(self, block: int) -> int:
        """How many would be idle no more if this published block were pinned."""
        entry, count = self._by_block.get(block), 0
        while entry is not None and not entry.pins:
            entry, count = entry.parent, count + 1
        return count

    def find(self, names: Sequence[bytes]) -> list[int]:
        """Blocks of the longest run of `names` that are published, from the first one on."""
        blocks = []
        for name in names:
            entry = self._by_name.get(name)
            if entry is None:
                break
            blocks.append(entry.block)
        return blocks

    def get(self, name: bytes) -> int | None:
        entry = self._by_name.get(name)
        return None if entry is None else entry.block

    def name_of(self, block: int) -> bytes | None:
        entry = self._by_block.get(block)
        return None if entry is None else entry.name

    def add(self, block: int, name: bytes, parent: int | None) -> None:
        """Publishes a block that is held. It and its name are new here, its parent is not.

        `parent` None: the block holds a sequence's first tokens.
        """
        above = None if parent is None else self._by_block[parent]
        depth = 1 if above is None else above.depth + 1
        entry = _Entry(block, name, above, depth, pins=1)
        self._by_name[name] = self._by_block[block] = entry
        if above is not None:
            above.children.add(entry)
            self._pin(above)
        self._log.stored(Tier.POOL, name, depth)

    def hold(self, block: int) -> None:
        """The block, published or not, has got its first reference."""
        if (entry := self._by_block.get(block)) is not None:
            self._pin(entry)

    def drop(self, block: int) -> bool:
        """The block has lost its last reference. True if it stays because it is published."""
        if (entry := self._by_block.get(block)) is None:
            return False
        self._unpin(entry)
        return True

    def evict(self) -> Evicted:
        """Takes the oldest idle block out; it is the caller's now."""
        entry = next(iter((self._idle or self._idle_kept).values()))
        if entry.children:
            raise InternalError(f"block {entry.block} is to go before what was computed from it")
        self._remove(entry)
        parent = None if entry.parent is None else entry.parent.name
        return Evicted(entry.block, entry.name, parent, entry.depth)

    def keep(self, block: int, until: float, most: int) -> None:
        """This published block and all before it are evicted last until then, the first ones of
        them where more than `most` would be kept. `until` is on the clock of `expire`.
        """
        chain = []
        entry = self._by_block.get(block)
        while entry is not None:
            chain.append(entry)
            entry = entry.parent
        new = [entry for entry in reversed(chain) if entry.block not in self._kept]
        beyond = {entry.block for entry in new[max(0, most - len(self._kept)) :]}
        for entry in chain:  # children first, also among the idle ones
            if entry.block not in beyond:
                self._move(entry, max(until, entry.kept_until))
        self._next_expiry = min(self._next_expiry, until)

    def expire(self, now: float) -> None:
        """What was to be kept until before now is like any other from now on."""
        if now < self._next_expiry:
            return
        idle = list(self._idle_kept.values())  # in their order, children first
        due = [*idle, *(entry for entry in self._kept.values() if entry.pins)]
        for entry in due:
            if entry.kept_until <= now:
                self._move(entry, NEVER)
        self._next_expiry = min(
            (entry.kept_until for entry in self._kept.values()), default=float("inf")
        )

    def withdraw(self, block: int) -> tuple[list[int], list[bytes]]:
        """Takes out the block and all that was computed from it, if it is published.

        Returns the blocks that nobody holds, which are the caller's now, and all the names.
        """
        if (top := self._by_block.get(block)) is None:
            return [], []
        below = [top]
        for entry in below:
            below += entry.children
        free = []
        for entry in reversed(below):  # children first: a parent that only they pin is idle by then
            if not entry.pins:
                free.append(entry.block)
            self._remove(entry)
        return free, [entry.name for entry in below]

    def check_integrity(self, held: Sequence[int]) -> None:
        """Raises InternalError when the books do not balance; `held` blocks have references."""
        held_blocks = set(held)
        for block, entry in self._by_block.items():
            pins = (block in held_blocks) + sum(child.pins > 0 for child in entry.children)
            idle = (block in self._idle) + (block in self._idle_kept)
            if entry.pins != pins or idle != (pins == 0):
                raise InternalError(f"published block {block} has {entry.pins} pins, not {pins}")
            if entry.parent is not None and self._by_block.get(entry.parent.block) is not (
                entry.parent
            ):
                raise InternalError(f"published block {block} is without its parent")
            if (block in self._kept) != (entry.kept_until > NEVER) or (
                entry.parent is not None and entry.parent.kept_until < entry.kept_until
            ):
                raise InternalError(f"block {block} is kept longer than what it was computed from")
        in_order = [*self._idle.values(), *self._idle_kept.values()]
        order = {entry.block: index for index, entry in enumerate(in_order)}
        for block, entry in zip(order, in_order, strict=True):
            if any(order[child.block] > order[block] for child in entry.children):
                raise InternalError(f"block {block} would go before what was computed from it")

    def _pin(self, entry: _Entry | None) -> None:
        while entry is not None:
            entry.pins += 1
            if entry.pins > 1:
                return
            del self._idles(entry)[entry.block]
            entry = entry.parent

    def _unpin(self, entry: _Entry | None) -> None:
        while entry is not None:
            entry.pins -= 1
            if entry.pins:
                return
            self._idles(entry)[entry.block] = entry
            entry = entry.parent

    def _idles(self, entry: _Entry) -> dict[int, _Entry]:
        """Where it is as long as it is idle."""
        return self._idle_kept if entry.kept_until > NEVER else self._idle

    def _move(self, entry: _Entry, kept_until: float) -> None:
        """To the end of those that are idle, if it is."""
        if not entry.pins:
            del self._idles(entry)[entry.block]
        entry.kept_until = kept_until
        if not entry.pins:
            self._idles(entry)[entry.block] = entry
        if kept_until > NEVER:
            self._kept[entry.block] = entry
        else:
            self._kept.pop(entry.block, None)

    def _remove(self, entry: _Entry) -> None:
        """`entry` has no children."""
        if entry.pins:
            self._unpin(entry.parent)
        else:
            del self._idles(entry)[entry.block]
        self._kept.pop(entry.block, None)
        if entry.parent is not None:
            entry.parent.children.remove(entry)
        del self._by_name[entry.name], self._by_block[entry.block]
        self._log.removed(Tier.POOL, entry.name, entry.depth)
