"""Tokens shared between tenants by their weights: start-time fair queueing."""

from collections.abc import Iterable
from dataclasses import dataclass, field

ANYBODY = ""  # the tenant of requests that name none


@dataclass(slots=True, eq=False)
class Bill:
    """What one request costs its tenant: `tokens` are a guess until it is settled. `read` and
    `written` count what it has got so far.
    """

    tenant: str = ANYBODY
    weight: float = 1.0
    tokens: float = 1.0
    answers: int = 1
    read: int = field(default=0, init=False)
    written: int = field(default=0, init=False)
    charged: bool = field(default=False, init=False)


class Shares:
    """Each tenant has a virtual time: its tokens so far over its weight. Who has the earliest goes
    first. A tenant that asked for nothing saves nothing up: it begins at the time of those served.
    """

    def __init__(self) -> None:
        self.now = 0.0  # earliest of those who were being served or waited; only grows
        self._times: dict[str, float] = {}
        self._unsent: dict[str, float] = {}  # growth that other gateways do not know yet

    def time_of(self, tenant: str) -> float:
        return self._times.get(tenant, self.now)

    def begin(self, tenant: str) -> None:
        """The tenant has somebody in the line, and had nobody."""
        self._times[tenant] = max(self.time_of(tenant), self.now)

    def charge(self, bill: Bill, waiting: Iterable[str] = ()) -> None:
        """At its turn; a second time it costs nothing. `waiting`: tenants that have somebody in the
        line: it may be an urgent or an old request of a tenant that is far ahead of them.
        """
        if bill.charged:
            return
        bill.charged = True
        self.now = max(self.now, min(map(self.time_of, (bill.tenant, *waiting))))
        self._add(bill, bill.tokens)

    def settle(self, bill: Bill, tokens: float) -> None:
        """It has cost so many, prompt and answer."""
        if bill.charged:
            self._add(bill, tokens - bill.tokens)
            bill.tokens = tokens

    def unsent(self) -> dict[str, float]:
        """What to tell other gateways: growth by tenant since the last call."""
        growth, self._unsent = self._unsent, {}
        return growth

    def give_back(self, growth: dict[str, float]) -> None:
        """It could not be told."""
        for tenant, amount in growth.items():
            self._unsent[tenant] = self._unsent.get(tenant, 0.0) + amount

    def learn(self, times: dict[str, float], now: float) -> None:
        """What all gateways together have served, but for what was not told yet."""
        self.now = max(self.now, now)
        for tenant, time in times.items():
            self._times[tenant] = time + self._unsent.get(tenant, 0.0)

    def _add(self, bill: Bill, tokens: float) -> None:
        growth = tokens / bill.weight
        self._times[bill.tenant] = self.time_of(bill.tenant) + growth
        self._unsent[bill.tenant] = self._unsent.get(bill.tenant, 0.0) + growth
