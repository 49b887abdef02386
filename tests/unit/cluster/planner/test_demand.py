"""What each role needs, from two looks at it."""

import math
from dataclasses import replace

import pytest

from baton.cluster.planner.demand import decode_need, places_seen, prefill_need
from baton.cluster.planner.goals import Goals
from baton.cluster.planner.observation import Costs, Observation, SeenWorker, Times
from baton.core.step_totals import StepSums, StepTotals
from baton.core.worker_info import Role

COSTS = Costs(step=0.01, sequence=0.001, context=0.0, unread_token=1e-3)
GOALS = Goals(ttft=2.0, itl=0.05)
BOUNDS = (0.5, 2.0, math.inf)
IDLE_READER = SeenWorker("prefill-0", Role.PREFILL, "h:1", True, total_blocks=100, costs=COSTS)
IDLE_WRITER = SeenWorker("decode-0", Role.DECODE, "h:2", True, total_blocks=100, costs=COSTS)


def reader(seconds: float, **changes: object) -> SeenWorker:
    steps = StepTotals(reading=StepSums(10, seconds, 0, 0, 100))
    return replace(IDLE_READER, steps=steps, **changes)  # type: ignore[arg-type]


def writer(tokens: int, **changes: object) -> SeenWorker:
    steps = StepTotals(writing=StepSums(50, 1.0, tokens, 0))
    return replace(IDLE_WRITER, steps=steps, **changes)  # type: ignore[arg-type]


def looks(then: SeenWorker, now: SeenWorker, **more: object) -> tuple[Observation, Observation]:
    """Ten seconds apart."""
    return Observation(0.0, [then]), Observation(10.0, [now], **more)  # type: ignore[arg-type]


def test_prompts_need_what_they_took_and_room_to_come_at_any_time() -> None:
    times = Times(BOUNDS, (10, 10, 10))
    before, now = looks(IDLE_READER, reader(4.0), ttft=times)
    before = replace(before, ttft=Times(BOUNDS, (0, 0, 0)))
    need = prefill_need(before, now, GOALS)
    share = 1 - math.log(10) * 0.4 / 2.0  # one prompt takes 0.4 s
    assert need.workers == pytest.approx(0.4 / share)
    assert "prompts take 0.40 workers' time, each may be busy 54%" in need.why
    assert prefill_need(before, now, Goals()).workers == pytest.approx(0.4 / 0.85)


def test_what_waits_to_be_read_is_to_be_read_within_the_goal() -> None:
    before, now = looks(IDLE_READER, reader(10.0, unread_tokens=6000, busy=5))
    assert prefill_need(before, now, GOALS).workers == pytest.approx(1 / 0.85 + 3.0)


def test_first_tokens_that_come_late_although_all_fits_want_one_more() -> None:
    before, now = looks(IDLE_READER, reader(5.0), ttft=Times(BOUNDS, (0, 15, 20)))
    before = replace(before, ttft=Times(BOUNDS, (0, 0, 0)))
    need = prefill_need(before, now, GOALS)
    assert need.workers == 1.5
    assert "25% of the first tokens came late" in need.why
    idle = replace(now, workers=[reader(0.1)])  # then it is not for want of readers
    assert prefill_need(before, idle, GOALS).workers < 1


def test_tokens_need_workers_whose_steps_stay_within_the_goal() -> None:
    before, now = looks(IDLE_WRITER, writer(3400))
    assert decode_need(before, now, GOALS).workers == pytest.approx(340 / 680)
    assert decode_need(before, now, Goals()).workers == pytest.approx(340 / 850)
    tight = decode_need(before, now, Goals(itl=0.0101))  # a step alone takes nearly as long
    assert tight.workers > 5


@pytest.mark.parametrize(
    ("changes", "places", "workers", "why"),
    [
        ({"used_blocks": 81}, None, 0.9, "the KV of what runs fills 0.81 workers' pools"),
        ({"busy": 7}, 8, 7 / 7.2, "7 requests, and a worker takes 8"),
        ({"busy": 1}, 8, 0.5, "340 tokens per second"),
    ],
)
def test_room_is_needed_too(
    changes: dict[str, object], places: int | None, workers: float, why: str
) -> None:
    before, now = looks(IDLE_WRITER, writer(3400, **changes))
    need = decode_need(before, now, GOALS, places)
    assert need.workers == pytest.approx(workers)
    assert why in need.why


def test_who_waits_for_room_wants_one_more_and_shows_how_many_a_worker_takes() -> None:
    before, now = looks(IDLE_WRITER, writer(3400, busy=8, waiting=1), queued=3)
    need = decode_need(before, now, GOALS)
    assert need.workers == 1.5
    assert "4 requests wait for room" in need.why
    assert places_seen(now) == 7
    assert places_seen(before) is None


def test_counts_of_another_process_are_nothing_that_was_done() -> None:
    before, now = looks(replace(writer(9000), process=1), replace(writer(10), process=2))
    assert decode_need(before, now, GOALS).workers == 0.0
