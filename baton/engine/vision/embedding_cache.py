"""Embeddings of images that came before, by their content. Bounded; whoever was asked for last stays."""

import threading
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


E = TypeVar("E", bound=Sized)
Key = tuple[str, str, bytes]  # cache salt, tenant, digest: who may not share KV shares no image


class EmbeddingCache(Generic[E]):
    """Any thread may call it."""

    def __init__(self, capacity: int) -> None:
        """Bytes; 0: nothing is kept."""
        self._capacity = capacity
        self._entries: OrderedDict[Key, E] = OrderedDict()
        self._lock = threading.Lock()
        self.used = 0  # bytes

    def get(self, key: Key) -> E | None:
        with self._lock:
            if (found := self._entries.get(key)) is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: Key, entry: E) -> None:
        """What is larger than all of it is not kept."""
        with self._lock:
            if key in self._entries or entry.nbytes > self._capacity:
                return
            self._entries[key] = entry
            self.used += entry.nbytes
            while self.used > self._capacity:
                _, oldest = self._entries.popitem(last=False)
                self.used -= oldest.nbytes
