"""How a trace is read and cut: the options that replay and simulation share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from baton.cluster.finite_range import FiniteRange
from baton.cluster.outcomes import Objectives
from baton.cluster.traces import Trace, load_trace
from baton.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Cut:
    rate_scale: float
    length_scale: float
    max_requests: int | None
    duration: float | None  # seconds, of the scaled trace
    seed: int

    def trace(self, name: str) -> Trace:
        """Raises SettingsError."""
        trace = load_trace(name, self.seed).scaled(self.rate_scale, self.length_scale)
        trace = trace.first(self.max_requests, self.duration)
        if not trace.requests:
            raise SettingsError(f"no request of {name} comes within --duration {self.duration:g} s")
        return trace


def trace_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what `Cut` and `Objectives` have, in the end as `cut` and `objectives`."""

    @wraps(command)  # which takes the options along that stand below these
    def cut(
        rate_scale: float,
        length_scale: float,
        max_requests: int | None,
        duration: float | None,
        seed: int,
        slo_ttft_ms: float | None,
        slo_itl_ms: float | None,
        **others: Any,
    ) -> Any:
        objectives = Objectives(_seconds(slo_ttft_ms), _seconds(slo_itl_ms))
        chosen = Cut(rate_scale, length_scale, max_requests, duration, seed)
        return command(cut=chosen, objectives=objectives, **others)

    wrapped: Callable[..., Any] = cut
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


_POSITIVE = FiniteRange(0, min_open=True)
_OPTIONS = (
    click.option(
        "--rate-scale",
        default=1.0,
        show_default=True,
        type=_POSITIVE,
        help="So many times as many requests per second.",
    ),
    click.option(
        "--length-scale",
        default=1.0,
        show_default=True,
        type=_POSITIVE,
        help="So many times as long, prompts and answers.",
    ),
    click.option("--max-requests", type=click.IntRange(1), help="The first so many."),
    click.option(
        "--duration", type=_POSITIVE, help="What comes in the first so many seconds, once scaled."
    ),
    click.option(
        "--seed", default=1, show_default=True, help="Of all that is drawn. Equal seeds, equal run."
    ),
    click.option(
        "--slo-ttft-ms", type=_POSITIVE, help="Goodput counts who got a first token by then."
    ),
    click.option(
        "--slo-itl-ms",
        type=_POSITIVE,
        help="And whose tokens came that fast, on the average of a request.",
    ),
)
