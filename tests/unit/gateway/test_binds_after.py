"""Where in an answer the grammar begins to bind, when the model reasons first."""

from baton.core.sampling_params import Grammar
from gateway.structured.reasoning import ReasoningTags, binds_after, bound

START, END, TURN = (7,), (8, 9), {2}


def test_a_model_that_does_not_reason_is_bound_at_once() -> None:
    assert binds_after([1, 2, 3], (), ()) == ()


def test_the_end_of_the_reasoning_comes_first() -> None:
    assert binds_after([1, 2, 3], START, END) == END
    assert binds_after([1, 2, 7], START, END) == END
    assert binds_after([1, 2, 3], (), END) == END


def test_a_prompt_that_has_ended_the_reasoning_leaves_none() -> None:
    assert binds_after([1, 7, 8, 9, 4], START, END) == ()
    assert binds_after([1, 8, 9], (), END) == ()


def test_reasoning_that_the_prompt_began_anew_has_not_ended() -> None:
    assert binds_after([7, 8, 9, 1, 7], START, END) == END


def test_reasoning_of_an_earlier_turn_says_nothing_of_this_one() -> None:
    assert binds_after([7, 8, 9, 4, 2, 5, 6], START, END, turn_ids=TURN) == END
    assert binds_after([2, 5, 7, 8, 9], START, END, turn_ids=TURN) == ()


def test_reasoning_that_nobody_sees_is_not_waited_for() -> None:
    assert binds_after([1, 2, 3], START, END, include_reasoning=False) == ()


def test_a_server_may_bind_the_reasoning_too() -> None:
    tags = ReasoningTags(START, END, frozenset(TURN))

    assert bound("g", [1], tags) == Grammar("g", END)
    assert bound("g", [1], tags, include_reasoning=False) == Grammar("g")
    assert bound("g", [1], tags, enable_in_reasoning=True) == Grammar("g")
    assert bound("g", [1], None) == Grammar("g")
