"""What a metrics page says."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


@dataclass(frozen=True)
class MetricsPage:
    text: str

    @property
    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.text))

    def value(self, sample: str, **labels: str) -> float:
        """Summed over all series that have these labels, 0 if there is none."""
        return sum(one.value for one in self.samples(sample, **labels))

    def samples(self, name: str, **labels: str) -> Iterator[Sample]:
        for family in self.families:
            for one in family.samples:
                if one.name == name and labels.items() <= one.labels.items():
                    yield one


async def page_of(http: httpx.AsyncClient, url: str = "/metrics") -> MetricsPage:
    answer = await http.get(url)
    assert answer.status_code == 200, answer.text
    return MetricsPage(answer.text)
