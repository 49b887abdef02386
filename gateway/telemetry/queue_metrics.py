"""Who waits at the gateway, on its metrics page."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from baton.telemetry.teller import Teller, united
from gateway.metric_families import QUEUED
from gateway.tenants.metrics import TenantNames
from gateway.tenants.tenant import DEFAULT

HIGH, NORMAL, LOW = "high", "normal", "low"

CountWaiting = Callable[[], Mapping[tuple[str, int], int]]  # by tenant and priority


class QueueCollector(Collector):
    """Counts them when the page is asked for. A tenant who has waited once for a model stays on it."""

    def __init__(self, counts: Mapping[str, CountWaiting], names: TenantNames) -> None:
        """`counts` by the model's name; there may be more later."""
        self._counts = counts
        self._names = names
        self._seen: defaultdict[str, set[tuple[str, str]]] = defaultdict(
            lambda: {(NORMAL, DEFAULT.name)}
        )

    def collect(self) -> Iterator[Metric]:
        yield from united([self._of(name, count())] for name, count in self._counts.items())

    def _of(self, model: str, count: Mapping[tuple[str, int], int]) -> Metric:
        waiting: Counter[tuple[str, str]] = Counter()
        for (tenant, priority), number in count.items():
            waiting[level_of(priority), self._names.of(tenant)] += number
        seen = self._seen[model]
        seen.update(waiting)
        return Teller(model).rows(QUEUED, [(labels, waiting[labels]) for labels in sorted(seen)])


def level_of(priority: int) -> str:
    """Any integer is a priority; a page has room for few."""
    if priority == 0:
        return NORMAL
    return HIGH if priority < 0 else LOW
