"""A plan for a cluster that is not there: a trace, a profile, objectives, and what was found."""

from collections.abc import Sequence
from dataclasses import replace

from baton.cluster.outcomes import Objectives
from baton.cluster.planner.search import Measure, Tried
from baton.cluster.planner.size import Size
from baton.cluster.planner.verdict import Verdict, verdict_of
from baton.cluster.simulator.simulation import Cluster, simulate
from baton.cluster.table import aligned
from baton.cluster.traces import Trace

_TITLES = ("PREFILL", "DECODE", "WORKERS", "WITHIN", "TTFT", "ITL", "")


def measuring(
    trace: Trace, cluster: Cluster, objectives: Objectives, goal: float, seed: int
) -> Measure:
    """By simulating the trace on `cluster`, with other numbers of workers, to its end or until too
    many have missed the objectives.
    """
    count = len(trace.requests)

    def measure(size: Size) -> Verdict:
        sized = replace(cluster, prefill=size.prefill, decode=size.decode)
        outcomes = simulate(trace, sized, objectives, seed, (1 - goal) * count).outcomes
        return verdict_of(outcomes, count, objectives, goal)

    return measure


def table(tried: Sequence[Tried], best: Size | None) -> list[str]:
    """What was tried, the smallest first, and why it is not enough."""
    rows = sorted(tried, key=lambda one: (one.size.workers, one.size))
    return aligned([_TITLES, *(_row(one, best) for one in rows)])


def conclusion(tried: Sequence[Tried], best: Size | None, most: int) -> str:
    if best is None:
        closest = max(tried, key=lambda one: one.verdict.good)
        return (
            f"no cluster of {most} workers holds; the closest, {closest.size}, answers "
            f"{_share(closest.verdict)} in time: {closest.verdict.reason}"
        )
    return f"{best}: the fewest workers that were found to hold"


def _row(one: Tried, best: Size | None) -> tuple[str, ...]:
    size, verdict = one.size, one.verdict
    chosen = one.size == best
    return (
        *(str(size.prefill), str(size.decode), str(size.workers), _share(verdict)),
        *(_milliseconds(verdict.ttft), _milliseconds(verdict.itl)),
        f"{verdict.reason}, chosen" if chosen else verdict.reason,
    )


def _share(verdict: Verdict) -> str:
    return f"{verdict.good:.1%}" if verdict.whole else f"< {verdict.goal:.1%}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.1f} ms"
