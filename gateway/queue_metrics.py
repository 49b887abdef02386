"""Who waits at the gateway, on its metrics page."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from baton.telemetry.teller import Teller
from gateway.metric_families import QUEUED
from gateway.tenants.metrics import TenantNames
from gateway.tenants.tenant import DEFAULT

HIGH, NORMAL, LOW = "high", "normal", "low"

CountWaiting = Callable[[], Mapping[tuple[str, int], int]]  # by tenant and priority


class QueueCollector(Collector):
    """Counts them when the page is asked for. A tenant who has waited once stays on it."""

    def __init__(self, count: CountWaiting, model_name: str, names: TenantNames) -> None:
        self._count = count
        self._tell = Teller(model_name)
        self._names = names
        self._seen = {(NORMAL, DEFAULT.name)}

    def collect(self) -> Iterator[Metric]:
        waiting: Counter[tuple[str, str]] = Counter()
        for (tenant, priority), number in self._count().items():
            waiting[level_of(priority), self._names.of(tenant)] += number
        self._seen |= waiting.keys()
        yield self._tell.rows(QUEUED, [(labels, waiting[labels]) for labels in sorted(self._seen)])


def level_of(priority: int) -> str:
    """Any integer is a priority; a page has room for few."""
    if priority == 0:
        return NORMAL
    return HIGH if priority < 0 else LOW
