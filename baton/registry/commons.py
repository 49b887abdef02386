"""What the gateways of one cluster know together: what tenants have used, and which workers are
doubted. Here within one process; `redis_commons` has it for several.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from baton.registry.quota import Account, Quota, Verdict

DOUBTED_FOR = 10.0  # seconds

Clock = Callable[[], float]


class FairTimes(Protocol):
    """Virtual times of tenants, which gateways add up; see `gateway.admission.shares`."""

    now: float

    def unsent(self) -> dict[str, float]: ...

    def give_back(self, growth: dict[str, float]) -> None: ...

    def time_of(self, tenant: str) -> float: ...

    def learn(self, times: dict[str, float], now: float) -> None: ...


class Commons(Protocol):
    async def admit(self, tenant: str, quota: Quota, tokens: float) -> Verdict:
        """Whether one more request fits; counts it if so, with so many tokens as a guess. Takes one
        round trip at most, and never fails.
        """
        ...

    def settle(self, tenant: str, quota: Quota, requests: float, tokens: float) -> None:
        """A granted request has ended, and has used so many more than was counted."""
        ...

    def doubt(self, instance_id: str) -> None:
        """The worker broke under a request."""
        ...

    def doubts(self, instance_id: str) -> bool:
        """Whether some gateway has lately doubted the worker."""
        ...

    @property
    def any_doubts(self) -> bool: ...

    async def run(self, times: Mapping[str, FairTimes]) -> None:
        """Tells and learns until it is cancelled. `times`: of each model, by its name."""
        ...


class LocalCommons:
    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, Account] = {}
        self._doubts: dict[str, float] = {}  # by instance id: until when

    async def admit(self, tenant: str, quota: Quota, tokens: float) -> Verdict:
        return self.account(tenant).decide(quota, tokens, self._clock())

    def settle(self, tenant: str, quota: Quota, requests: float, tokens: float) -> None:
        account = self.account(tenant)
        account.running -= 1
        account.settle(quota, requests, tokens, self._clock())

    def doubt(self, instance_id: str) -> None:
        self.doubt_for(instance_id, DOUBTED_FOR)

    def doubt_for(self, instance_id: str, seconds: float) -> None:
        now = self._clock()
        self._doubts = {name: until for name, until in self._doubts.items() if until > now}
        self._doubts[instance_id] = max(self._doubts.get(instance_id, 0.0), now + seconds)

    def doubts(self, instance_id: str) -> bool:
        return self._doubts.get(instance_id, 0.0) > self._clock()

    @property
    def any_doubts(self) -> bool:
        if self._doubts and max(self._doubts.values()) <= self._clock():
            self._doubts.clear()
        return bool(self._doubts)

    async def run(self, times: Mapping[str, FairTimes]) -> None:
        await asyncio.Event().wait()

    def account(self, tenant: str) -> Account:
        return self._accounts.setdefault(tenant, Account())

    def busy(self) -> list[str]:
        """Tenants that have requests running."""
        return [tenant for tenant, account in self._accounts.items() if account.running]

    def left(self, tenant: str, quota: Quota) -> tuple[float, float]:
        return self.account(tenant).left(quota, self._clock())

    def learn(self, tenant: str, requests: float, tokens: float) -> None:
        """What all gateways together have left the tenant."""
        self.account(tenant).set(requests, tokens, self._clock())
