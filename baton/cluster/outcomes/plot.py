"""A run as a page of charts. Pure."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from baton.cluster.outcomes.outcome import Fate, Objectives, Outcome
from baton.cluster.outcomes.svg import Line, Panel, Points, page

_SLOTS = 60  # of the run, for what is shown over time
_STEPS = 200  # of a distribution


def plot(outcomes: Sequence[Outcome], objectives: Objectives) -> str:
    """SVG: rates and TTFT over time, and how TTFT and ITL are spread, by tenant."""
    return page(
        [
            Panel("requests per second", "seconds", _rates(outcomes, objectives)),
            Panel("TTFT, median of each moment, in seconds", "seconds", _ttft_over_time(outcomes)),
            Panel(
                "TTFT: share of requests",
                "seconds or less",
                _by_tenant(outcomes, lambda one: () if one.ttft is None else ((one.ttft, 1),)),
                logarithmic=True,
                limit=objectives.ttft,
            ),
            Panel(
                "ITL: share of gaps",
                "seconds or less",
                _by_tenant(outcomes, lambda one: one.gaps),
                logarithmic=True,
                limit=objectives.itl,
            ),
        ]
    )


def _slot(outcomes: Sequence[Outcome]) -> float:
    """Seconds."""
    return max((one.due for one in outcomes), default=0.0) / _SLOTS or 1.0


def _rates(outcomes: Sequence[Outcome], objectives: Objectives) -> list[Line]:
    kinds: list[tuple[str, Callable[[Outcome], bool]]] = [
        ("came", lambda one: True),
        ("good", lambda one: one.meets(objectives)),
        ("refused", lambda one: one.fate is Fate.REFUSED),
    ]
    slot = _slot(outcomes)
    lines = []
    for label, belongs in kinds:
        counts = [0] * (_SLOTS + 1)
        for one in outcomes:
            counts[int(one.due / slot)] += belongs(one)
        lines.append(Line(label, [(at * slot, count / slot) for at, count in enumerate(counts)]))
    return lines


def _ttft_over_time(outcomes: Sequence[Outcome]) -> list[Line]:
    slot = _slot(outcomes)
    times: dict[int, list[float]] = {}
    for one in outcomes:
        if one.ttft is not None:
            times.setdefault(int(one.due / slot), []).append(one.ttft)
    median = [(at * slot, sorted(some)[len(some) // 2]) for at, some in sorted(times.items())]
    return [Line("TTFT", median)]


def _by_tenant(
    outcomes: Sequence[Outcome], values: Callable[[Outcome], Iterable[tuple[float, int]]]
) -> list[Line]:
    names = sorted({one.tenant for one in outcomes})
    return [
        Line(name, _shares([v for one in outcomes if one.tenant == name for v in values(one)]))
        for name in names
    ]


def _shares(values: Iterable[tuple[float, int]]) -> Points:
    """Of a distribution, at so many places of equal share."""
    ordered = sorted(values)
    upto, total = [], 0
    for _, count in ordered:
        total += count
        upto.append(total)
    if not total:
        return []
    places = (min(bisect_right(upto, total * s / _STEPS), len(upto) - 1) for s in range(_STEPS + 1))
    return [(ordered[place][0], share / _STEPS) for share, place in enumerate(places)]
