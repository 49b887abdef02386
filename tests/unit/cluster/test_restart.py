"""Which deaths are answered by another start, and after how long."""

import pytest

from baton.cluster.restart import Again, GiveUp, History


def after(*lives: float | None) -> Again | GiveUp:
    history = History()
    for ready_for in lives:
        history = history.after_death(ready_for)
    return history.decide()


def test_three_deaths_before_ever_being_ready_are_enough() -> None:
    assert [after(*[None] * n) for n in (1, 2, 3)] == [Again(0.2), Again(0.4), GiveUp(3)]


def test_a_process_that_was_ready_once_is_never_given_up() -> None:
    assert after(1.0, *[None] * 50) == Again(10.0)


@pytest.mark.parametrize(
    ("deaths", "delay"), [(1, 0.2), (2, 0.4), (4, 1.6), (6, 6.4), (7, 10.0), (9999, 10.0)]
)
def test_the_delay_doubles_up_to_ten_seconds(deaths: int, delay: float) -> None:
    decision = after(*[0.1] * deaths)
    assert isinstance(decision, Again)
    assert decision.delay == pytest.approx(delay)


def test_half_a_minute_of_health_makes_earlier_deaths_forgotten() -> None:
    assert after(1.0, 1.0, 1.0, 30.0) == Again(0.2)
    assert after(1.0, 1.0, 1.0, 29.9) == Again(1.6)
