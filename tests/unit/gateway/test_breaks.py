"""What may break under one request."""

from gateway.breaks import LONGEST_PAUSE, MOST_BREAKS, MOST_LOST, BarrenSpell, Breaks


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


def test_links_that_break_are_told_but_do_not_end_the_request() -> None:
    breaks = Breaks()
    for attempt in range(1, MOST_BREAKS + 5):
        assert breaks.note("d0", attempt, newest=attempt, lost=False)
    assert breaks.total == MOST_BREAKS + 4
    assert not breaks.too_many


def test_a_spell_without_tokens_ends_with_time_or_with_too_many_workers_lost() -> None:
    spell = BarrenSpell()
    spell.note((), now=10.0)
    for number in range(MOST_LOST - 1):
        spell.note({number}, now=11.0)
        spell.note({number}, now=11.0)  # the same worker again is no other
    assert not spell.hopeless(now=12.0, patience=5.0)
    assert spell.hopeless(now=15.0, patience=5.0)
    spell.note({"another"}, now=12.0)
    assert spell.hopeless(now=12.0, patience=5.0)
    spell.end()
    spell.note({"another"}, now=100.0)
    assert not spell.hopeless(now=104.0, patience=5.0)


def test_the_first_try_comes_at_once_and_later_ones_wait_longer_and_longer() -> None:
    spell = BarrenSpell()
    pauses = []
    for _ in range(8):
        spell.note((), now=0.0)
        pauses.append(spell.pause)
    assert pauses == [0, 0.05, 0.1, 0.2, 0.4, 0.8, LONGEST_PAUSE, LONGEST_PAUSE]
