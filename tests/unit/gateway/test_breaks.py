"""What may break under one request."""

from gateway.breaks import MOST_BREAKS, Breaks


def test_a_worker_that_dies_under_several_attempts_is_one_break() -> None:
    breaks = Breaks()
    assert breaks.note("d0", attempt=2, newest=4)
    assert not breaks.note("d0", attempt=3, newest=4)
    assert not breaks.note("d0", attempt=4, newest=5)
    assert breaks.note("d1", attempt=4, newest=5)
    assert breaks.total == 2


def test_attempts_that_began_after_a_break_break_anew() -> None:
    breaks = Breaks()
    for attempt in range(1, MOST_BREAKS + 1):
        assert not breaks.too_many
        assert breaks.note("d0", attempt, newest=attempt)
    assert breaks.too_many
