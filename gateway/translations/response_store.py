"""Responses that are kept for a while, so that they can be read again and gone on from."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of what each tenant may keep. The oldest make room."""

    count: int
    size: int  # bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Kept:
    """Both encoded as JSON, so that their size is what they take."""

    response: bytes
    messages: bytes  # the conversation up to and with this response, as chat messages
    status: str
    until: float  # on the store's clock

    @property
    def size(self) -> int:
        return len(self.response) + len(self.messages)


class _Shelf:
    """Of one tenant, oldest first."""

    def __init__(self) -> None:
        self.kept: OrderedDict[str, Kept] = OrderedDict()
        self.size = 0

    def drop(self, response_id: str) -> None:
        self.size -= self.kept.pop(response_id).size

    def drop_oldest(self) -> None:
        self.drop(next(iter(self.kept)))


class ResponseStore:
    """Nobody sees what another tenant keeps. `clock` is in seconds and never goes back."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float]) -> None:
        self._bounds = bounds
        self._clock = clock
        self._shelves: dict[str, _Shelf] = {}

    def put(
        self, tenant: str, response_id: str, response: bytes, messages: bytes, status: str
    ) -> bool:
        """False: it is too large for the bounds, and is not kept."""
        self._forget()
        kept = Kept(response, messages, status, self._clock() + self._bounds.seconds)
        if kept.size > self._bounds.size or not self._bounds.count:
            return False
        shelf = self._shelves.setdefault(tenant, _Shelf())
        if response_id in shelf.kept:
            shelf.drop(response_id)
        while shelf.kept and self._is_full_for(shelf, kept):
            shelf.drop_oldest()
        shelf.kept[response_id] = kept
        shelf.size += kept.size
        return True

    def get(self, tenant: str, response_id: str) -> Kept | None:
        self._forget()
        shelf = self._shelves.get(tenant)
        return shelf.kept.get(response_id) if shelf else None

    def delete(self, tenant: str, response_id: str) -> bool:
        """False: it was not there."""
        if self.get(tenant, response_id) is None:
            return False
        self._shelves[tenant].drop(response_id)
        return True

    def _is_full_for(self, shelf: _Shelf, kept: Kept) -> bool:
        bounds = self._bounds
        return len(shelf.kept) >= bounds.count or shelf.size + kept.size > bounds.size

    def _forget(self) -> None:
        """What has been kept for long enough; of each tenant, the oldest goes first."""
        now = self._clock()
        for tenant, shelf in list(self._shelves.items()):
            while shelf.kept and next(iter(shelf.kept.values())).until <= now:
                shelf.drop_oldest()
            if not shelf.kept:
                del self._shelves[tenant]
