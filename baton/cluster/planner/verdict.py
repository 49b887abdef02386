"""Whether a cluster of some size holds its objectives under a trace, and what is in the way if not."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from baton.cluster.outcomes import Fate, Objectives, Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """Shares are of all requests of the trace. The times are those that `goal` of the answers are
    within, None where nobody was answered.
    """

    goal: float  # share of requests that must be answered within the objectives
    good: float  # share that were not seen to miss them; if it is not `whole`, at most
    late_first: float  # answered, the first token too late
    slow_after: float  # answered, the tokens behind it too slow
    sent_away: float  # refused or failed
    ttft: float | None  # seconds
    itl: float | None  # seconds per token, the mean of a request
    whole: bool = True  # False: it was broken off as soon as it could not hold

    @property
    def holds(self) -> bool:
        return self.good >= self.goal

    @property
    def reason(self) -> str:
        """The largest of what is in the way."""
        if self.holds:
            return "holds"
        worst, what = max(
            (self.late_first, "first tokens are late: {} of the requests"),
            (self.slow_after, "tokens come too slowly: {} of the requests"),
            (self.sent_away, "{} of the requests are sent away"),
        )
        return what.format(f"{worst:.1%}" if self.whole else f"at least {worst:.1%}")


def verdict_of(
    outcomes: Sequence[Outcome], count: int, objectives: Objectives, goal: float
) -> Verdict:
    """`outcomes` are those of a trace of `count` requests, as far as it was run."""
    ended = [one for one in outcomes if one.fate is not Fate.CUT]
    done = [one for one in ended if one.fate is Fate.DONE]
    return Verdict(
        goal=goal,
        good=1 - sum(not one.meets(objectives) for one in ended) / count,
        late_first=sum(_over(one.ttft, objectives.ttft) for one in done) / count,
        slow_after=sum(_over(one.itl, objectives.itl) for one in done) / count,
        sent_away=(len(ended) - len(done)) / count,
        ttft=within(goal, (one.ttft for one in done)),
        itl=within(goal, (one.itl for one in done)),
        whole=len(ended) == count,
    )


def within(share: float, values: Iterable[float | None]) -> float | None:
    """What that share of the values is not above."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    return known[max(0, math.ceil(share * len(known)) - 1)]


def _over(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit
