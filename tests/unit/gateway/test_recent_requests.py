"""What the status page remembers of requests."""

import contextlib
from collections.abc import Callable

import pytest

from baton.core.errors import UnavailableError
from baton.core.sampling_params import SamplingParams
from baton.core.worker_info import Role
from gateway.admission.shares import Bill
from gateway.call_events import Transferred
from gateway.errors import INTERNAL, OverloadedError, TooLateError
from gateway.job import Job
from gateway.placing.forecast import Forecast
from gateway.placing.learned import Learned
from gateway.placing.placement import Decision, Option, Pair
from gateway.placing.scoring import Terms
from gateway.reading import Reading
from gateway.telemetry.recent_requests import (
    MOST_OPEN_SHOWN,
    MOST_SHOWN,
    PriorityCount,
    RecentRequests,
)
from gateway.telemetry.trail import MOST_STEPS, Phase, Trail
from tests.support.gateway_members import make_info

TERMS = Terms(
    wait=0.01, read=0.02, calls=0.01, transfer=0.003, itl=0.005, seat=0, answer=9, others=0
)


def job(tenant: str = "", priority: int = 0, name: str = "r") -> Job:
    return Job(
        name,
        (1, 2, 3),
        SamplingParams(max_tokens=9, seed=1),
        tenant=tenant,
        priority=priority,
        bill=Bill("t"),
    )


def pair() -> Pair:
    return Pair(make_info("p0", Role.PREFILL), make_info("d0", Role.DECODE))


def forecast(placed_at: float) -> Forecast:
    decision = Decision((Option(pair(), TERMS, 0),), "least_cost")
    return Forecast(decision, Learned(), 1, placed_at)


def test_a_request_waits_is_read_is_answered_and_is_done() -> None:
    recent = RecentRequests()
    asked = job()
    with recent.following(asked) as trail:
        phases = [trail.phase]
        with trail.waiting():
            phases.append(trail.phase)
            assert recent.by_priority() == [PriorityCount(0, 1, 0)]
        trail.place(trail.began, trail.began + 1, Reading("d0", "p0"))
        phases.append(trail.phase)
        asked.bill.written = 1
        phases.append(trail.phase)
        assert recent.by_priority() == [PriorityCount(0, 0, 1)]
        trail.finish_reasons = ("stop",)
    assert phases == [Phase.QUEUED, Phase.QUEUED, Phase.PREFILL, Phase.DECODE]
    assert trail.phase is Phase.DONE
    assert recent.by_priority() == []
    assert recent.shown("") == [trail]


def test_times_are_milliseconds_since_it_came() -> None:
    recent = RecentRequests()
    with recent.following(job()) as trail:
        expected = forecast(trail.began + 0.5)
        reading = Reading("d0", "p0", cached_tokens=16, reason="least_cost")
        trail.place(trail.began + 0.25, trail.began + 9, reading, expected)
        expected.admitted(16, trail.began + 0.625)
        expected.told(1, trail.began + 0.75)
        expected.transferred(1000, 0.01, trail.began + 0.8)
        reading.transfer = Transferred(1000, 3, "shm", 200.0, 10.0, 190.0, ())
        expected.told(4, trail.began + 1.75)
    told = trail.told()
    assert told["cached_tokens"] == 16
    assert told["placements"] == [
        {
            "encode_worker": None,
            "prefill_worker": "p0",
            "decode_worker": "d0",
            "prefix_from": None,
            "reason": "least_cost",
            "queued_ms": 250.0,
            "placed_ms": 500.0,
            "admitted_ms": 625.0,
            "first_ms": 750.0,
            "last_ms": 1750.0,
            "transfer": {
                "start_ms": 600.0,
                "end_ms": 800.0,
                "exposed_ms": 10.0,
                "bytes": 1000,
                "tokens": 3,
                "transport": "shm",
            },
            "itl_ms": 250.0,
            "predicted_ttft_ms": 40.0,
            "predicted_itl_ms": 5.0,
        }
    ]


@pytest.mark.parametrize(
    ("error", "phase", "said"),
    [
        (
            TooLateError("No worker had room in time.", 1),
            Phase.FAILED,
            "No worker had room in time.",
        ),
        (ValueError("a defect"), Phase.FAILED, INTERNAL.message),
        (GeneratorExit(), Phase.ABORTED, ""),
    ],
)
def test_how_it_ended_is_told_as_its_client_was(
    error: BaseException, phase: Phase, said: str
) -> None:
    recent = RecentRequests()
    with pytest.raises(type(error)), recent.following(job()):
        raise error
    [trail] = recent.shown("")
    assert (trail.phase, trail.error) == (phase, said)
    assert trail.told()["ended_ms"] is not None


def test_what_has_all_of_its_choices_is_done_whatever_comes_after() -> None:
    with contextlib.suppress(GeneratorExit), RecentRequests().following(job()) as trail:
        trail.finish_reasons = ("length",)
        raise GeneratorExit
    assert trail.phase is Phase.DONE


def test_who_was_sent_away_from_a_full_line_is_only_counted() -> None:
    recent = RecentRequests()
    with pytest.raises(OverloadedError), recent.following(job()):
        raise OverloadedError("full", 1)
    assert (recent.refused, recent.shown("")) == (1, [])


def test_a_key_sees_its_own_and_the_counts_are_of_all() -> None:
    recent = RecentRequests()
    with recent.following(job("a", 5)) as mine, recent.following(job("b", -1)):
        assert recent.shown("a") == [mine]
        assert recent.shown("") == []
        assert [one.priority for one in recent.by_priority()] == [-1, 5]


def many(recent: RecentRequests, count: int, during: Callable[[], None]) -> None:
    if not count:
        during()
        return
    with recent.following(job()):
        many(recent, count - 1, during)


def test_of_very_many_some_that_run_and_some_that_have_ended_are_shown() -> None:
    recent = RecentRequests(kept=60)
    for _ in range(100):
        with recent.following(job()):
            pass

    def look() -> None:
        shown = recent.shown("")
        assert len(shown) == MOST_SHOWN
        open = [trail for trail in shown if trail.ended is None]
        assert len(open) == MOST_OPEN_SHOWN
        assert shown[0].number == 140
        assert shown[-1].number == 100 - (MOST_SHOWN - MOST_OPEN_SHOWN) + 1

    many(recent, 40, look)


def test_nothing_that_has_ended_is_kept_where_nobody_can_look() -> None:
    recent = RecentRequests(kept=0)
    with recent.following(job()):
        pass
    assert recent.shown("") == []


def test_of_many_steps_the_last_is_always_there() -> None:
    with RecentRequests().following(job()) as trail:
        for number in range(MOST_STEPS + 9):
            trail.met(trail.began, "refused", f"d{number}")
            trail.place(trail.began, trail.began + number, Reading(f"d{number}", None))
    assert len(trail.incidents) == len(trail.placed) == MOST_STEPS
    assert trail.incidents[-1].worker == trail.placed[-1].reading.decode_worker == "d40"


def test_an_error_of_the_cluster_is_not_told_in_its_own_words() -> None:
    recent = RecentRequests()
    with pytest.raises(UnavailableError), recent.following(job()):
        raise UnavailableError("10.0.0.7:5000 broke off")
    [trail] = recent.shown("")
    assert isinstance(trail, Trail)
    assert "10.0.0.7" not in trail.error
