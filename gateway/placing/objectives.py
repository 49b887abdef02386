"""What a request wants to be kept to, as its headers say it. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from baton.core.errors import RequestError

# Ours first; llm-d's say the same.
TTFT_HEADERS = ("x-slo-ttft-ms", "x-llm-d-slo-ttft-ms")
ITL_HEADERS = ("x-slo-itl-ms", "x-llm-d-slo-tpot-ms")


@dataclass(frozen=True, slots=True)
class Objectives:
    """Seconds; infinite: none."""

    ttft: float = math.inf
    itl: float = math.inf

    @property
    def any(self) -> bool:
        return self.ttft < math.inf or self.itl < math.inf


NONE = Objectives()


def objectives_of(headers: Mapping[str, str]) -> Objectives:
    """Raises RequestError, naming the header, for what is no positive number of milliseconds, or
    where two that mean the same disagree.
    """
    return Objectives(_seconds(headers, TTFT_HEADERS), _seconds(headers, ITL_HEADERS))


def _seconds(headers: Mapping[str, str], names: tuple[str, ...]) -> float:
    said = {name: _milliseconds(name, headers[name]) for name in names if name in headers}
    if len(set(said.values())) > 1:
        first, second = said
        raise RequestError(f"{first} and {second} mean the same and disagree", second)
    return next(iter(said.values()), math.inf) / 1000


def _milliseconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise RequestError(f"{name} must be a positive number of milliseconds", name)
    return value
