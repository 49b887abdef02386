"""One HTTP request of a tenant, from its key to its last token: what it was granted, and what it cost."""

import math
from collections.abc import Sequence

from baton.registry.commons import Commons
from baton.registry.quota import Bound
from gateway.admission.shares import Bill
from gateway.errors import OverloadedError, Reason
from gateway.tenants.metrics import TenantMetrics
from gateway.tenants.rate_headers import rate_headers
from gateway.tenants.tenant import Known

FIRST_GUESS = 512  # tokens of an answer, before the tenant had any
MEMORY = 0.9  # of the mean of earlier answers, at each new one

_REASONS = {
    Bound.CONCURRENT: Reason.CONCURRENT,
    Bound.REQUESTS: Reason.REQUESTS,
    Bound.TOKENS: Reason.TOKENS,
}


class Desk:
    """Where visits begin; knows how long a tenant's answers are."""

    def __init__(self, commons: Commons, metrics: TenantMetrics) -> None:
        self.commons = commons
        self.metrics = metrics  # of what concerns no model yet
        self._means: dict[str, float] = {}  # tokens of an answer, by tenant

    def visit(self, known: Known) -> "Visit":
        return Visit(self, known)

    def guess(self, tenant: str, most: int) -> float:
        """Tokens of an answer of at most so many."""
        return min(most, self._means.get(tenant, FIRST_GUESS))

    def learn(self, tenant: str, tokens: float) -> None:
        mean = self._means.get(tenant, tokens)
        self._means[tenant] = MEMORY * mean + (1 - MEMORY) * tokens


class Visit:
    """`headers` go with the answer, whatever it is. `end()` must be called once. `metrics` are those of
    the model that it is for, once that is known.
    """

    def __init__(self, desk: Desk, known: Known) -> None:
        self._desk = desk
        self.metrics = desk.metrics
        self.tenant, self.root = known.tenant, known.root
        self.headers: dict[str, str] = {}
        self._bills: list[Bill] = []
        self._granted = False

    def bill(self, prompt: int, answers: int, most: int) -> Bill:
        """For a prompt of so many tokens, with so many answers of at most `most` tokens each."""
        tokens = prompt + answers * self._desk.guess(self.tenant.name, most)
        return Bill(self.tenant.name, self.tenant.weight, tokens, answers)

    async def admit(self, bills: Sequence[Bill]) -> None:
        """Counts the request against the tenant's limits. Raises OverloadedError."""
        self._bills = [*bills]
        name, quota = self.tenant.name, self.tenant.quota
        if not quota.is_limited:
            return
        self._guess = sum(bill.tokens for bill in bills)
        verdict = await self._desk.commons.admit(name, quota, self._guess)
        self.headers = rate_headers(quota, verdict)
        if verdict.bound is not Bound.NONE:
            reason = _REASONS[verdict.bound]
            self.metrics.refused(name, reason)
            raise OverloadedError(
                f"This key's limit is reached: {reason.replace('_', ' ')}.",
                max(1, math.ceil(verdict.wait)),
                reason,
            )
        self._granted = True

    def end(self) -> None:
        """Settles what was a guess. What was not answered at all costs nothing."""
        if not self._bills:
            return
        name = self.tenant.name
        prompt = sum(bill.read for bill in self._bills)
        generated = sum(bill.written for bill in self._bills)
        self.metrics.ended(name)
        self.metrics.used(name, prompt, generated)
        for bill in self._bills:
            if bill.written:
                self._desk.learn(name, bill.written / bill.answers)
        if self._granted:
            requests = 0 if prompt + generated else -1
            tokens = prompt + generated - self._guess
            self._desk.commons.settle(name, self.tenant.quota, requests, tokens)
