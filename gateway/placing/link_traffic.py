"""What moves between workers, as their gateway hears of it: each hand-off when it is over. Pure."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

WINDOW = 5.0  # seconds that a rate looks back
SLOT = 0.5  # seconds whose bytes are one sum
MOST_LINKS = 4096  # those on which nothing moved for longest are forgotten first


@dataclass(slots=True, eq=False)
class LinkTotals:
    source: str  # instance ids
    target: str
    transfers: int = 0
    bytes: int = 0
    transport: str = ""  # of the latest
    exposed: float | None = None  # seconds, of the latest hand-off: behind the end of prefill
    _slots: deque[tuple[float, int]] = field(default_factory=deque)  # when one began, its bytes

    def add(self, num_bytes: int, now: float) -> None:
        self.transfers += 1
        self.bytes += num_bytes
        if self._slots and now < self._slots[-1][0] + SLOT:
            began, before = self._slots.pop()
            self._slots.append((began, before + num_bytes))
        else:
            self._forget(now)
            self._slots.append((now, num_bytes))

    def rate(self, now: float) -> float:
        """Bytes per second, lately."""
        self._forget(now)
        return sum(num_bytes for _, num_bytes in self._slots) / WINDOW

    def _forget(self, now: float) -> None:
        while self._slots and self._slots[0][0] <= now - WINDOW:
            self._slots.popleft()


class LinkTraffic:
    """By the instance ids of sender and receiver. Seconds are on one clock, the caller's."""

    def __init__(self) -> None:
        self._links: OrderedDict[tuple[str, str], LinkTotals] = OrderedDict()

    def __iter__(self) -> Iterator[LinkTotals]:
        return iter(self._links.values())

    def add(
        self,
        source: str,
        target: str,
        num_bytes: int,
        now: float,
        transport: str,
        exposed: float | None = None,
    ) -> None:
        """`exposed`: seconds behind the end of prefill, where it was a hand-off."""
        link = self._links.setdefault((source, target), LinkTotals(source, target))
        self._links.move_to_end((source, target))
        link.add(num_bytes, now)
        link.transport = transport
        link.exposed = link.exposed if exposed is None else exposed
        if len(self._links) > MOST_LINKS:
            self._links.popitem(last=False)

    def drop(self, worker: str) -> None:
        """It is gone."""
        for pair in [pair for pair in self._links if worker in pair]:
            del self._links[pair]
