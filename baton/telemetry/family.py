"""What a metric is called, what it says and how it is told apart: declared once, for page and docs."""

from dataclasses import dataclass
from enum import StrEnum

COMMON = ("model_name", "engine")  # vLLM's labels, which nearly all families have
ENGINE = "0"  # vLLM numbers the engines of a process; a worker has one, and clients see one

STEP_TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)  # as vLLM has it


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """`labels` come behind the common ones. `bounds` are those of a histogram, rising."""

    name: str  # a counter's without its `_total`
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    is_common: bool = True  # it has the common labels
    only: str = ""  # where it is on the page, if that is not everywhere

    @property
    def label_names(self) -> tuple[str, ...]:
        return (*COMMON, *self.labels) if self.is_common else self.labels

    @property
    def shown_name(self) -> str:
        """As it stands on the page, but for what a histogram adds to it."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


def counter(name: str, help: str, *labels: str) -> Family:
    return Family(name, Kind.COUNTER, help, labels)


def gauge(name: str, help: str, *labels: str) -> Family:
    return Family(name, Kind.GAUGE, help, labels)


def histogram(name: str, help: str, bounds: tuple[float, ...], *labels: str) -> Family:
    return Family(name, Kind.HISTOGRAM, help, labels, bounds)
