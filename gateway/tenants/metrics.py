"""Usage per tenant, for Prometheus."""

from baton.telemetry.instruments import Instruments
from gateway import metric_families as families

MOST_NAMES = 200  # tenants that have series of their own; those after them share one
OTHERS = "others"


class TenantNames:
    """As they stand on the page."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def of(self, tenant: str) -> str:
        if tenant not in self._known:
            if len(self._known) >= MOST_NAMES:
                return OTHERS
            self._known.add(tenant)
        return tenant


class TenantMetrics:
    def __init__(self, page: Instruments, names: TenantNames) -> None:
        self._names = names
        self._page = page

    def ended(self, tenant: str) -> None:
        self._page.counter(families.TENANT_REQUESTS, self._names.of(tenant)).inc()

    def used(self, tenant: str, prompt: int, generated: int) -> None:
        name = self._names.of(tenant)
        self._page.counter(families.TENANT_PROMPT, name).inc(prompt)
        self._page.counter(families.TENANT_GENERATION, name).inc(generated)

    def refused(self, tenant: str, reason: str) -> None:
        self._page.counter(families.TENANT_REFUSED, self._names.of(tenant), reason).inc()

    def queued(self, tenant: str, seconds: float) -> None:
        self._page.counter(families.TENANT_QUEUED, self._names.of(tenant)).inc(seconds)
