"""Which worker a metrics page belongs to: queries join on it, whatever labels the scraper has given."""

from collections.abc import Callable, Iterator

from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from baton.core.worker_info import WorkerInfo

FAMILY = "baton_worker"  # on the page: baton_worker_info


class WorkerIdentity(Collector):
    """Asked at each scrape, for a worker's role may change while its process lives."""

    def __init__(self, read: Callable[[], WorkerInfo]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        info = self._read()
        family = InfoMetricFamily(FAMILY, "The worker whose page this is.")
        family.add_metric([], {"worker_id": info.worker_id, "role": info.role.value})
        yield family
