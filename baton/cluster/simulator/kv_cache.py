"""A worker's KV pool and prefix cache, stride by stride: what is pinned, what is kept, what goes. Pure.

As the engine does it: the least recently used goes first, children before parents; a request holds
what it reads and writes until it ends. What nobody can ask for again (answers) is kept as well, and
takes its room.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from baton.core.kv_events import KvChange


@dataclass(slots=True, eq=False)
class Holding:
    """Of one request."""

    keys: Sequence[int]  # of its prompt's whole strides
    strides: int  # that it holds, those with keys among them
    cached: int  # of the keys: found when it came
    known: int  # of the keys: pinned in the cache by it; the others it holds without a name
    released: bool = False
    own: list[int] = field(default_factory=list)


class KvCache:
    def __init__(self, strides: int) -> None:
        self.size = strides
        self.free = strides  # neither pinned nor kept
        self._pins: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # kept, the first to go first
        self._nameless = 0  # counts down: keys of what nobody asks for
        self.number = 0  # of the last event
        self._told = 0
        self._changes: dict[int, bool] = {}  # since then: stored or removed
        self._snapshot = True

    @property
    def room(self) -> int:
        """Strides that a request could have."""
        return self.free + len(self._idle)

    def take(self, keys: Sequence[int], strides: int) -> Holding | None:
        """None: there is no room. The beginning that is cached is pinned, the rest set aside."""
        cached = 0
        for key in keys:
            if key not in self._pins and key not in self._idle:
                break
            cached += 1
        resting = sum(key not in self._pins for key in keys[:cached])
        if strides - cached > self.room - resting:
            return None
        for key in keys[:cached]:
            self._pin(key)
        self._set_aside(strides - cached)
        return Holding(keys, strides, cached, cached)

    def computed(self, holding: Holding, known: int) -> None:
        """The first so many of its keys are there now; others may use them from here on."""
        for key in holding.keys[holding.known : known]:
            if key in self._pins or key in self._idle:
                self.free += 1  # another one computed it meanwhile: one copy is enough
            else:
                self._note(key, stored=True)
            self._pin(key)
        holding.known = max(holding.known, known)

    def release(self, holding: Holding, written: bool = False) -> None:
        """`written`: what has no name is an answer, and kept; else nothing is in it."""
        if holding.released:
            return
        holding.released = True
        nameless = holding.strides - holding.known
        if written:
            for _ in range(nameless):
                self._nameless -= 1
                self._idle[self._nameless] = None
        else:
            self.free += nameless
        for key in reversed(holding.keys[: holding.known]):
            self._pins[key] -= 1
            if not self._pins[key]:
                del self._pins[key]
                self._idle[key] = None

    def news(self) -> KvChange | None:
        """What changed since it was last asked; the first time, all that there is."""
        if self._snapshot:
            self._snapshot = False
            self._changes.clear()
            stored = tuple(key for key in (*self._pins, *self._idle) if key >= 0)
            change = KvChange(self.number, self.number, snapshot=True, stored=stored)
        elif self._changes:
            stored = tuple(key for key, is_stored in self._changes.items() if is_stored)
            removed = tuple(key for key, is_stored in self._changes.items() if not is_stored)
            change = KvChange(self._told, self.number, stored=stored, removed=removed)
            self._changes = {}
        else:
            return None
        self._told = self.number
        return change

    def tell_all(self) -> None:
        """The next news are a snapshot."""
        self._snapshot = True

    def _pin(self, key: int) -> None:
        self._idle.pop(key, None)
        self._pins[key] = self._pins.get(key, 0) + 1

    def _set_aside(self, strides: int) -> None:
        self.free -= strides
        while self.free < 0:
            key, _ = self._idle.popitem(last=False)
            self.free += 1
            if key >= 0:
                self._note(key, stored=False)

    def _note(self, key: int, stored: bool) -> None:
        self.number += 1
        self._changes.pop(key, None)
        self._changes[key] = stored
