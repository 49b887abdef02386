"""Who wrote what last, in bounded memory."""

from gateway.recent_answers import RecentAnswers

NAMES = [b"1", b"2", b"3", b"4"]


def test_the_beginning_of_a_known_answer_is_recognised_as_far_as_it_goes() -> None:
    answers = RecentAnswers()
    answers.note("d0", NAMES)
    assert answers.held([*NAMES, b"5"]) == {"d0": 4}
    assert answers.held([*NAMES[:2], b"other"]) == {"d0": 2}
    assert answers.held([b"other"]) == {}
    assert answers.held([]) == {}


def test_the_last_writer_of_a_block_is_the_one_that_is_named() -> None:
    answers = RecentAnswers()
    answers.note("d0", NAMES)
    answers.note("d1", NAMES[:2])
    assert answers.held(NAMES) == {"d0": 4, "d1": 2}
    answers.note("d1", NAMES)
    assert answers.held(NAMES) == {"d1": 4}


def test_the_oldest_answers_are_forgotten_from_their_end() -> None:
    answers = RecentAnswers(most=6)
    answers.note("d0", NAMES)
    answers.note("d1", [b"a", b"b", b"c"])
    assert answers.held(NAMES) == {"d0": 3}
    assert answers.held([b"a", b"b", b"c"]) == {"d1": 3}
    answers.note("d0", NAMES[:3])  # used again: not the oldest any more
    answers.note("d2", [b"x", b"y"])
    assert answers.held(NAMES) == {"d0": 3}
    assert answers.held([b"a", b"b", b"c"]) == {"d1": 1}
    assert len(answers) == 6


def test_of_an_answer_longer_than_the_memory_the_beginning_is_kept() -> None:
    answers = RecentAnswers(most=2)
    answers.note("d0", NAMES)
    assert answers.held(NAMES) == {"d0": 2}
