"""The planner under a virtual clock: steps, bursts and noise of load, limits, and roles that change."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.cluster.planner.goals import Goals, Limits, Pace
from baton.cluster.planner.planner import Flip, Planner, Scale
from baton.cluster.planner.size import Size
from baton.core.worker_info import Role
from tests.support.planned_cluster import PlannedCluster

PREFILL, DECODE = Role.PREFILL, Role.DECODE
GOALS = Goals(ttft=1.0, itl=0.05)
PACE = Pace()
# With these goals a decode worker of the tests writes 0.85 x (1 - 0.01 / 0.05) / 0.001 tokens a second.
TOKENS = 680.0
ONE_EACH = Size(1, 1)


def limits(most_workers: int = 20, least: Size = ONE_EACH) -> Limits:
    return Limits(least, Size(16, 16), most_workers)


def cluster(
    prefill: int,
    decode: int,
    *loads: tuple[float, float, float],
    most: Limits | None = None,
    can_flip: bool = True,
) -> PlannedCluster:
    """`loads`: from when on, workers' worth of reading, and decode workers' worth of writing."""

    def load(at: float) -> tuple[float, float]:
        _, reading, writing = max(one for one in loads if one[0] <= at)
        return reading, writing * TOKENS

    planner = Planner(GOALS, most or limits(), PACE, can_flip)
    return PlannedCluster(planner, load, {PREFILL: prefill, DECODE: decode})


def sizes(of: PlannedCluster) -> Size:
    return Size(of.count(PREFILL), of.count(DECODE))


def test_a_load_that_fits_changes_nothing() -> None:
    steady = cluster(2, 3, (0, 1.2, 2.6))
    steady.run(2000)
    assert steady.changes == []
    assert steady.last is not None
    assert steady.last.reasons[0].startswith("prefill: 1.41 of 2 workers needed: prompts take 1.20")
    assert steady.last.reasons[1].startswith("decode: 2.60 of 3 workers needed: 1768 tokens per")


def test_a_step_of_load_is_followed_within_seconds() -> None:
    stepping = cluster(1, 1, (0, 0.5, 0.5), (100, 0.5, 3.5))
    stepping.run(130)
    assert sizes(stepping) == Size(1, 4)
    assert stepping.changes[0][0] <= 115
    stepping.run(1000)
    assert sizes(stepping) == Size(1, 4)


def test_more_prompts_than_can_be_read_are_seen_by_what_piles_up() -> None:
    """A worker's time says no more than that all of it is used."""
    flooded = cluster(1, 1, (0, 4.0, 0.5))
    flooded.run(120)
    assert flooded.count(PREFILL) >= 5


def test_a_short_burst_takes_nobody_away_from_behind_it() -> None:
    bursts = [(at, 0.5, 3.5 if (at // 30) % 2 else 0.5) for at in range(0, 600, 30)]
    bursty = cluster(1, 1, *bursts)
    bursty.run(600)
    assert sizes(bursty) == Size(1, 4)
    assert [action for _, action in bursty.changes] == [Scale(DECODE, 4)]


def test_what_is_not_needed_any_more_leaves_one_after_the_other() -> None:
    quiet = cluster(1, 6, (0, 0.5, 5.5), (100, 0.5, 0.5))
    quiet.run(100 + PACE.leave_after - 10)
    assert quiet.changes == []
    quiet.run(3000)
    assert sizes(quiet) == Size(1, 1)
    assert [action for _, action in quiet.changes] == [Scale(DECODE, n) for n in (5, 4, 3, 2, 1)]
    times = [at for at, _ in quiet.changes]
    assert all(later - earlier >= PACE.leave_after for earlier, later in pairwise(times))


def test_a_worker_that_one_role_can_spare_gets_the_other_before_a_new_one_is_started() -> None:
    shifting = cluster(1, 4, (0, 0.5, 3.5), (300, 1.5, 1.5))
    shifting.run(300)
    assert shifting.changes == []
    shifting.run(60)
    assert shifting.changes
    assert all(isinstance(action, Flip) for _, action in shifting.changes)
    assert shifting.count(PREFILL) + shifting.count(DECODE) == 5
    assert shifting.count(PREFILL) >= 2


def test_at_the_limit_roles_still_change_and_what_is_lacking_is_said() -> None:
    full = cluster(1, 3, (0, 0.5, 2.5), (100, 3.0, 0.6), most=limits(4))
    full.run(300)
    assert sizes(full) == Size(3, 1)
    assert all(isinstance(action, Flip) for _, action in full.changes)
    assert full.last is not None
    assert any("no more than 0 are allowed" in reason for reason in full.last.reasons)


def test_where_roles_cannot_change_workers_come_and_go() -> None:
    stiff = cluster(1, 3, (0, 0.5, 2.5), (100, 1.4, 0.6), can_flip=False)
    stiff.run(1200)
    assert sizes(stiff) == Size(2, 1)
    assert all(isinstance(action, Scale) for _, action in stiff.changes)


def test_limits_hold_whatever_the_load() -> None:
    idle = cluster(3, 5, (0, 0.0, 0.0), most=limits(least=Size(2, 2)))
    idle.run(5000)
    assert sizes(idle) == Size(2, 2)
    wild = cluster(1, 1, (0, 9.0, 9.0), most=Limits(Size(1, 1), Size(3, 4), 20))
    wild.run(600)
    assert sizes(wild) == Size(3, 4)


def test_the_last_that_writes_answers_is_never_given_away() -> None:
    reading = cluster(1, 1, (0, 4.0, 0.0), most=limits(2, Size(0, 0)))
    reading.run(600)
    assert reading.count(DECODE) == 1


def test_a_worker_that_died_is_replaced_by_whoever_keeps_it_and_not_twice() -> None:
    steady = cluster(1, 3, (0, 0.5, 2.6))
    steady.run(100)
    del steady.workers["decode-1"]
    steady.run(5)
    assert steady.changes == []  # it may be back before that is decided


@pytest.mark.parametrize("seed", range(3))
def test_a_long_day_settles_where_it_should(seed: int) -> None:
    draw = random.Random(seed)
    loads = [(600.0 * n, draw.uniform(0, 5), draw.uniform(0, 8)) for n in range(10)]
    day = cluster(1, 1, *loads)
    for number, (_, reading, writing) in enumerate(loads):
        day.run(600.0 * (number + 1) - day.at)
        assert day.count(DECODE) >= writing - 1e-6
        assert day.count(PREFILL) >= reading
    assert len(day.changes) < 12 * len(loads)


@settings(max_examples=15, deadline=None)
@given(
    reading=st.floats(0, 6),
    writing=st.floats(0, 6),
    noise=st.floats(0, 0.07),
    seed=st.integers(0, 1000),
)
def test_noise_about_any_load_does_not_make_it_swing(
    reading: float, writing: float, noise: float, seed: int
) -> None:
    draw = random.Random(seed)
    planner = Planner(GOALS, limits(40), PACE)

    def load(_: float) -> tuple[float, float]:
        return (
            reading * draw.uniform(1 - noise, 1 + noise),
            writing * TOKENS * draw.uniform(1 - noise, 1 + noise),
        )

    noisy = PlannedCluster(planner, load, {PREFILL: 3, DECODE: 3})
    noisy.run(1500)
    settled = len(noisy.changes)
    noisy.run(2500)
    assert len(noisy.changes) <= settled + 2, noisy.changes
    grown = [action for _, action in noisy.changes if isinstance(action, Scale)]
    for role in Role:
        counts = [3, *(action.count for action in grown if action.role is role)]
        turns = [b > a for a, b in pairwise(counts)]
        assert sum(a != b for a, b in pairwise(turns)) <= 2
