"""How long to wait for what is away, and what is said of it."""

import logging

import pytest

from baton.registry.outage import Outage, delay_after


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 0.1), (2, 0.2), (3, 0.4), (6, 2.0), (10_000, 2.0)]
)
def test_the_delay_doubles_up_to_its_bound(failures: int, longest: float) -> None:
    assert delay_after(failures, 1.0) == pytest.approx(longest)


def test_jitter_takes_at_most_half_of_the_delay() -> None:
    assert delay_after(1, 0.0) == pytest.approx(0.05)


def test_an_outage_is_said_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(logging.getLogger("test"), away="it is away", back="it is back")
    for _ in range(2):
        for number in range(3):
            outage.failed(f"reason {number}")
        for _ in range(3):
            outage.over()
    assert [record.getMessage() for record in caplog.records] == [
        "it is away: reason 0; retrying",
        "it is back",
    ] * 2
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_what_was_never_away_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Outage(logging.getLogger("test"), away="it is away", back="it is here").over()
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [(logging.INFO, "it is here")]


def test_the_delays_of_an_outage_begin_anew_after_its_end() -> None:
    outage = Outage(logging.getLogger("test"), away="it is away", back="it is back")
    assert max(outage.failed("gone") for _ in range(9)) > 0.9
    outage.over()
    assert outage.failed("gone") <= 0.1
