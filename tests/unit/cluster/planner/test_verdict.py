"""What is in the way of the objectives, in words."""

import pytest

from baton.cluster.outcomes import Fate, Objectives, Outcome
from baton.cluster.planner.verdict import verdict_of, within

OBJECTIVES = Objectives(ttft=1.0, itl=0.1)


def answered(ttft: float, itl: float) -> Outcome:
    return Outcome(
        *("all", 0.0, 10, Fate.DONE, 0.0, ttft, ttft + 10 * itl, ttft + 10 * itl), output_tokens=11
    )


GOOD, LATE, SLOW = answered(0.5, 0.05), answered(2.0, 0.05), answered(0.5, 0.2)
AWAY = Outcome("all", 0.0, 10, Fate.REFUSED)


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ([GOOD] * 9 + [LATE], "holds"),
        ([GOOD] * 8 + [LATE] * 2, "first tokens are late: 20.0% of the requests"),
        ([GOOD] * 7 + [SLOW] * 2 + [LATE], "tokens come too slowly: 20.0% of the requests"),
        ([GOOD] * 6 + [AWAY] * 3 + [LATE], "30.0% of the requests are sent away"),
        ([AWAY], "100.0% of the requests are sent away"),
    ],
)
def test_the_largest_obstacle_is_named(outcomes: list[Outcome], reason: str) -> None:
    assert verdict_of(outcomes, len(outcomes), OBJECTIVES, 0.9).reason == reason


def test_without_an_objective_any_time_is_good() -> None:
    assert verdict_of([LATE, SLOW], 2, Objectives(), 1.0).holds


def test_of_a_run_that_was_broken_off_the_share_is_at_most_that() -> None:
    cut = Outcome("all", 0.0, 10)
    verdict = verdict_of([GOOD, LATE, LATE, cut], 10, OBJECTIVES, 0.9)
    assert (verdict.good, verdict.whole, verdict.holds) == (0.8, False, False)
    assert verdict.reason == "first tokens are late: at least 20.0% of the requests"


def test_the_times_are_those_that_the_goal_is_within() -> None:
    verdict = verdict_of([GOOD] * 9 + [LATE], 10, OBJECTIVES, 0.9)
    assert verdict.ttft == 0.5
    assert verdict.itl == pytest.approx(0.05)
    assert within(0.5, [3.0, None, 1.0, 2.0]) == 2.0
    assert within(0.01, [3.0, 1.0]) == 1.0
    assert within(0.9, []) is None
