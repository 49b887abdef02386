"""The dialogues that the demo model learns from: right, and never those that it is asked later."""

import random
import re

import pytest

from demo_model.composer import dialogue, dialogues_of
from demo_model.examine import SKILLS
from demo_model.exchange import Dialogue
from demo_model.skills.arithmetic import key_of
from demo_model.split import Split, drawn, split_of
from tests.support.demo_checks import asked, is_right, sum_of

COUNT = 4000


def drawn_dialogues(split: Split, count: int = COUNT) -> list[Dialogue]:
    rng = random.Random(7)
    return [dialogue(rng, split) for _ in range(count)]


@pytest.fixture(scope="module")
def training() -> list[Dialogue]:
    return drawn_dialogues(Split.TRAIN)


@pytest.fixture(scope="module")
def held_out() -> list[Dialogue]:
    return drawn_dialogues(Split.HELD_OUT)


def test_every_answer_is_right(training: list[Dialogue], held_out: list[Dialogue]) -> None:
    wrong = [(asked(d), d.answer) for d in training + held_out if not is_right(d)]
    assert wrong == []


def test_the_same_seed_gives_the_same_dialogues(training: list[Dialogue]) -> None:
    assert drawn_dialogues(Split.TRAIN, 50) == training[:50]


def test_no_key_is_both_taught_and_asked(
    training: list[Dialogue], held_out: list[Dialogue]
) -> None:
    assert {split_of(one.key) for one in training} == {Split.TRAIN}
    assert {split_of(one.key) for one in held_out} == {Split.HELD_OUT}


def test_no_sum_that_is_asked_stands_anywhere_in_the_training(training: list[Dialogue]) -> None:
    """In earlier turns, in other styles and as JSON neither."""
    texts = [
        str(text)
        for one in training
        for text in (one.answer, *(m["content"] for m in one.messages))
    ]
    tasks = [task for task in map(sum_of, texts) if task and task[1] in "+-"]
    assert len(tasks) > 300
    small = [key_of(*task) for task in tasks if max(task[0], task[2]) < 100]
    tools = {one.key for one in training if one.skill.startswith("tool")}
    assert not [key for key in small if split_of(key) is Split.HELD_OUT and key not in tools]
    for one in training:
        if one.skill == "JSON" and (found := re.search(r"(\d+) \+ (\d+)", asked(one))):
            assert split_of(key_of(int(found[1]), "+", int(found[2]))) is Split.TRAIN


def test_no_question_is_both_taught_and_asked(
    training: list[Dialogue], held_out: list[Dialogue]
) -> None:
    """Of skills whose whole question is in the key."""
    whole = {"sort", "reverse", "repeat", "reading", "about Baton"}
    taught = {asked(one) for one in training if one.skill in whole}
    assert not taught & {asked(one) for one in held_out if one.skill in whole}


def test_every_skill_is_taught_and_can_be_asked(training: list[Dialogue]) -> None:
    assert {one.skill for one in training} == set(SKILLS)


def test_what_is_learnt_last_gets_more_of_the_last_part() -> None:
    def sums(step: int) -> int:
        rng = random.Random(9)
        made = [dialogue(rng, Split.TRAIN, step) for _ in range(1000)]
        return sum(one.skill == "arithmetic" for one in made)

    assert sums(1600) > 1.2 * sums(0)


def test_the_exam_asks_nothing_twice() -> None:
    made = dialogues_of("arithmetic", 50, seed=0)
    assert len({one.key for one in made}) == 50
    assert made == dialogues_of("arithmetic", 50, seed=0)


def test_what_cannot_be_drawn_is_an_error() -> None:
    key = next(str(number) for number in range(100) if split_of(str(number)) is Split.TRAIN)
    with pytest.raises(RuntimeError, match="nothing held out came"):
        drawn(random.Random(0), Split.HELD_OUT, lambda _: key, lambda made: made)
