"""Which workers hold which prefixes, as they tell it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, compress

from baton.core.errors import InternalError
from baton.core.kv_events import KvChange

WALKED = 16  # keys that are looked at one after the other, rather than halved
_BITS = bytes.maketrans(b"01", b"\0\1")  # of a number that is written out


@dataclass(slots=True, eq=False)
class _Holding:
    """What one worker has told. Keys are in `pool`, in `host`, or in both."""

    bit: int  # one object, shared by the masks of all keys that nobody else holds
    number: int | None = (
        None  # of the last event heard of; None: a snapshot, or its rest, is wanted
    )
    to_come: int = 0  # keys of a snapshot that has begun
    upto: int = 0  # number of the latest event in that snapshot
    # Dictionaries of numbers, for the collector looks at each element of a set: a tenth of a second,
    # in which no stream goes on, where a million are held.
    pool: dict[int, None] = field(default_factory=dict)
    host: dict[int, None] = field(default_factory=dict)

    def holds(self, key: int) -> bool:
        return key in self.pool or key in self.host


class PrefixIndex:
    """Prefixes by key, holders as the bits of a number, workers by instance id.

    Whoever holds a prefix holds all that are shorter (children are given up before parents), so the
    holders of a chain's prefixes are nested, and halving finds where they grow fewer. While a
    snapshot comes in pieces that need not hold: then less is found than there is.
    """

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        self._holdings: dict[str, _Holding] = {}
        self._names: list[str] = []  # by the number of the bit
        self._bits: list[int] = []  # 1 << its number
        self._free: list[int] = []  # numbers of bits

    def __len__(self) -> int:
        """Prefixes that somebody holds."""
        return len(self._masks)

    def number(self, worker: str) -> int | None:
        """Of the last event heard of it. None: what it holds is not known exactly."""
        holding = self._holdings.get(worker)
        return None if holding is None else holding.number

    def hear(self, worker: str, change: KvChange) -> bool:
        """False: events were lost, and only a snapshot helps. Until then the old belief stands.

        What was heard before is heard again without harm.
        """
        holding = self._holdings.get(worker) or self._enter(worker)
        if change.snapshot:
            self._forget(holding)
            holding.to_come, holding.upto = change.to_come, change.upto
        elif holding.to_come:
            piece = change.after == change.upto == holding.upto  # and no later events
            whole = piece and holding.to_come == change.to_come + len(change)
            holding.to_come = change.to_come if whole else 0
            if not whole:
                return False
        elif holding.number is None or change.after > holding.number:
            holding.number = None
            return False
        elif change.after < holding.number:
            return change.upto <= holding.number
        self._apply(holding, change)
        holding.number = None if holding.to_come else change.upto
        return True

    def drop(self, worker: str) -> None:
        """It is gone, and so is what it held. About a microsecond per prefix."""
        holding = self._holdings.pop(worker, None)
        if holding is not None:
            self._forget(holding)
            self._free.append(holding.bit.bit_length() - 1)

    def held(self, keys: Sequence[int], unit: int = 1) -> dict[str, int]:
        """How many of a chain's first keys each worker holds, where that is more than none; each
        counts for so many.
        """
        found: dict[str, int] = {}
        if not keys or not (first := self._masks.get(keys[0], 0)):
            return found
        spans = [(0, first, len(keys), 0)]
        while spans:
            low, low_mask, high, high_mask = spans.pop()
            if low_mask == high_mask:
                continue
            if high - low <= WALKED:
                self._walk(keys, (low, low_mask), (high, high_mask), unit, found)
                continue
            middle = (low + high) // 2
            mask = self._masks.get(keys[middle], 0) & low_mask
            spans.append((low, low_mask, middle, mask))
            spans.append((middle, mask, high, high_mask))
        return found

    def held_by(self, worker: str, keys: Sequence[int]) -> int:
        """How many of a chain's first keys this worker holds, each of them looked up."""
        holding = self._holdings.get(worker)
        if holding is None:
            return 0
        return next((at for at, key in enumerate(keys) if not holding.holds(key)), len(keys))

    def keys_of(self, worker: str) -> tuple[set[int], set[int]]:
        """All that it holds, in its pool and in host memory."""
        holding = self._holdings.get(worker)
        return (set(), set()) if holding is None else (set(holding.pool), set(holding.host))

    def check_integrity(self) -> None:
        """Raises InternalError when masks and holdings do not say the same."""
        masks: dict[int, int] = {}
        for holding in self._holdings.values():
            for key in holding.pool | holding.host:
                masks[key] = masks.get(key, 0) | holding.bit
        if masks != self._masks:
            raise InternalError("the index of prefixes does not add up")

    def _enter(self, worker: str) -> _Holding:
        number = self._free.pop() if self._free else len(self._names)
        self._names[number : number + 1] = [worker]
        self._bits[number : number + 1] = [1 << number]
        holding = self._holdings[worker] = _Holding(self._bits[number])
        return holding

    def _apply(self, holding: _Holding, change: KvChange) -> None:
        for key in change.removed:
            holding.pool.pop(key, None)
        holding.pool.update(dict.fromkeys(change.stored))
        for key in change.removed_from_host:
            holding.host.pop(key, None)
        holding.host.update(dict.fromkeys(change.stored_on_host))
        masks, bit = self._masks, holding.bit
        for key in chain(change.stored, change.stored_on_host):
            mask = masks.get(key)
            masks[key] = bit if mask is None else mask | bit
        for key in chain(change.removed, change.removed_from_host):
            if not holding.holds(key):
                self._clear(key, bit)

    def _forget(self, holding: _Holding) -> None:
        for key in chain(holding.pool, holding.host):
            self._clear(key, holding.bit)
        holding.pool.clear()
        holding.host.clear()

    def _clear(self, key: int, bit: int) -> None:
        mask = self._masks.get(key, 0) & ~bit
        if mask:
            self._masks[key] = mask
        else:
            self._masks.pop(key, None)

    def _walk(
        self,
        keys: Sequence[int],
        start: tuple[int, int],
        end: tuple[int, int],
        unit: int,
        found: dict[str, int],
    ) -> None:
        """Key by key, each place with the mask of its holders: where they grow fewer all the way, as
        they do among many workers, that is faster than to halve on.
        """
        (low, mask), (high, last) = start, end
        masks = self._masks
        for at in range(low + 1, high):
            left = masks.get(keys[at], 0) & mask
            if left != mask:
                self._name(mask ^ left, at * unit, found)
                mask = left
                if mask == last:
                    return
        self._name(mask ^ last, high * unit, found)

    def _name(self, mask: int, count: int, found: dict[str, int]) -> None:
        if mask.bit_count() > 16:  # all at once, which is faster from there on
            bits = bin(mask)[:1:-1].encode().translate(_BITS)
            found.update(dict.fromkeys(compress(self._names, bits), count))
            return
        names, own = self._names, self._bits
        while mask:
            highest = mask.bit_length() - 1
            found[names[highest]] = count
            mask ^= own[highest]
