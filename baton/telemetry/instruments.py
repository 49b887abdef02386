"""Families that a process counts as it goes, on a page of its own."""

from collections.abc import Iterable
from copy import copy
from typing import Any, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    disable_created_metrics,
)

from baton.telemetry.exposition import written
from baton.telemetry.family import ENGINE, Family, Kind
from baton.telemetry.histogram import Histogram

M = TypeVar("M", Counter, Histogram)


class Instruments:
    """Asked twice for the same family and labels, it gives the same instrument. A registry of its own,
    so that two gateways in one process do not meet.
    """

    def __init__(self, model_name: str, families: Iterable[Family]) -> None:
        """All `families` are on the page from the start; those without labels of their own at 0."""
        # Else each series has another one that says when it began. The library has no type here.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.model_name = model_name
        self.registry = CollectorRegistry()
        # By the family's name, which is quicker to hash than the family.
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        # Those of all models: copies of the page share it.
        self._found: dict[tuple[str, str, tuple[str, ...]], Any] = {}
        for family in families:
            self._make(family)

    def of(self, model_name: str) -> "Instruments":
        """The same page, for what another model counts."""
        other = copy(self)
        other.model_name = model_name
        return other

    def counter(self, family: Family, *labels: str) -> Counter:
        """`labels`: their values, behind the common ones."""
        return self._of(self._counters[family.name], family, labels)

    def counters(self, family: Family, values: Iterable[str]) -> dict[str, Counter]:
        """By the value of the only label: all of them on the page before anything is counted."""
        return {value: self.counter(family, value) for value in values}

    def histogram(self, family: Family, *labels: str) -> Histogram:
        """Likewise."""
        return self._of(self._histograms[family.name], family, labels)

    def page(self) -> bytes:
        return written(self.registry)

    def _of(self, made: M, family: Family, labels: tuple[str, ...]) -> M:
        """The library finds one by its labels behind a lock, after it has looked at each of them."""
        key = (family.name, self.model_name, labels)
        found: M | None = self._found.get(key)
        if found is None:
            values = self._values(family, labels)
            found = self._found[key] = made.labels(*values) if values else made
        return found

    def _make(self, family: Family) -> None:
        about = family.name, family.help, family.label_names
        if family.kind is Kind.COUNTER:
            self._counters[family.name] = Counter(*about, registry=self.registry)
            return
        self._histograms[family.name] = Histogram(
            *about, registry=self.registry, buckets=family.bounds
        )

    def _values(self, family: Family, labels: tuple[str, ...]) -> tuple[str, ...]:
        return (self.model_name, ENGINE, *labels) if family.is_common else labels
