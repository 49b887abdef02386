"""A cluster of so many places under a virtual clock, in front of it the real admission, and clients who
obey `Retry-After` or do not. No process, no sleep: minutes pass in milliseconds.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gateway.admission.admission import Admission, Displaced, Refused
from gateway.admission.line import Waiter
from gateway.admission.shares import Bill


@dataclass(eq=False)
class FakeClient:
    """One request, sent again as long as it is refused and `obeys`."""

    name: int
    tenant: str = ""
    weight: float = 1.0
    priority: int = 0
    tokens: int = 100  # what it will really have cost
    seconds: float = 1.0  # of a place
    refusals: int = 0
    came: float = 0.0
    began: float | None = None
    too_late: bool = False
    bill: Bill = field(default_factory=Bill)


class FakeClusterLoad:
    def __init__(
        self, places: int, limit: int, patience: float = 60.0, obeys: bool = True, seed: int = 0
    ) -> None:
        self.admission: Admission[FakeClient] = Admission(limit, patience)
        self.clients: list[FakeClient] = []
        self.served: Counter[str] = Counter()  # tokens, by tenant
        self.longest_line = 0
        self.now = 0.0
        self.random = random.Random(seed)
        self._free = places
        self._obeys = obeys
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def arrive(self, at: float, client: FakeClient) -> None:
        self.clients.append(client)
        client.came = at
        self._at(at, lambda: self._ask(client))

    def poisson(self, rate: float, begin: float, end: float) -> Iterator[float]:
        """Moments of arrivals."""
        at = begin + self.random.expovariate(rate)
        while at < end:
            yield at
            at += self.random.expovariate(rate)

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
            self.longest_line = max(self.longest_line, len(self.admission.line))

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def _ask(self, client: FakeClient) -> None:
        name = client.name
        client.bill = Bill(client.tenant, client.weight, 100)
        turn = self.admission.turn(self.now, client.priority, client.bill, lambda: name)
        if self._free and self.admission.line.leads(turn):
            self.admission.place(turn, self.now)
            self._begin(client)
            return
        entered = self.admission.enter(turn, client, self.now)
        if isinstance(entered, Refused):
            self._refused(client, entered.retry_after)
            return
        if isinstance(entered.displaced, Displaced):
            displaced = entered.displaced
            self._refused(displaced.waiter.content, displaced.retry_after)
        waiter = entered.waiter
        self._at(turn.deadline, lambda: self._give_up(waiter))

    def _refused(self, client: FakeClient, retry_after: int) -> None:
        client.refusals += 1
        if self._obeys:
            delay = retry_after + self.random.uniform(0.0, 0.2)  # the network's
            self._at(self.now + delay, lambda: self._ask(client))

    def _give_up(self, waiter: Waiter[FakeClient]) -> None:
        if waiter in self.admission.line:
            waiter.content.too_late = True
            self.admission.leave(waiter)

    def _begin(self, client: FakeClient) -> None:
        self._free -= 1
        client.began = self.now
        self._at(self.now + client.seconds, lambda: self._end(client))

    def _end(self, client: FakeClient) -> None:
        self._free += 1
        self.served[client.tenant] += client.tokens
        self.admission.shares.settle(client.bill, client.tokens)
        while self._free and (head := self.admission.line.head()) is not None:
            self.admission.line.remove(head)
            self.admission.place(head.turn, self.now)
            self._begin(head.content)
