"""Families that a process counts as it goes, on a page of its own."""

from collections.abc import Iterable
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from baton.telemetry.family import ENGINE, Family

Instrument = TypeVar("Instrument", Counter, Gauge, Histogram)


class Instruments:
    """Asked twice for the same family and labels, it gives the same instrument. A registry of its own,
    so that two gateways in one process do not meet.
    """

    def __init__(self, model_name: str) -> None:
        # Else each series has another one that says when it began. The library has no type here.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.model_name = model_name
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def counter(self, family: Family, *labels: str) -> Counter:
        """`labels`: their values, behind the common ones."""
        made = self._counters.get(family.name)
        if made is None:
            made = Counter(family.name, family.help, family.label_names, registry=self.registry)
            self._counters[family.name] = made
        return self._child(made, family, labels)

    def counters(self, family: Family, values: Iterable[str]) -> dict[str, Counter]:
        """By the value of the only label: all of them on the page before anything is counted."""
        return {value: self.counter(family, value) for value in values}

    def histogram(self, family: Family, *labels: str) -> Histogram:
        made = self._histograms.get(family.name)
        if made is None:
            made = Histogram(
                family.name,
                family.help,
                family.label_names,
                registry=self.registry,
                buckets=family.bounds,
            )
            self._histograms[family.name] = made
        return self._child(made, family, labels)

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def _child(self, made: Instrument, family: Family, labels: tuple[str, ...]) -> Instrument:
        values = (self.model_name, ENGINE, *labels) if family.is_common else labels
        return made.labels(*values) if values else made
