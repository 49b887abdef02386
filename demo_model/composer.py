"""Dialogues of all skills, drawn by a seed: the training data, and what is kept back from it."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from demo_model.exchange import Dialogue, Exchange, alone, assistant, user
from demo_model.skills import (
    about,
    arithmetic,
    capitals,
    facts,
    greetings,
    lists,
    memory,
    passages,
    records,
    refusals,
    styles,
    tools,
    words,
)
from demo_model.split import Split, drawn

MakeExchange = Callable[[random.Random], Exchange]
MakeDialogue = Callable[[random.Random], Dialogue]
_PATIENCE = 200  # draws of any skill for one question of a certain one
_THINKING = 0.25  # of all dialogues
# Earlier turns that no tool would have answered.
_BESIDE_TOOLS = {greetings.SKILL, about.SKILL, capitals.SKILL, lists.SKILL, facts.SKILL, words.SORT}


def _one(make: MakeExchange) -> MakeDialogue:
    return lambda rng: alone(make(rng))


_EXCHANGES: dict[MakeExchange, float] = {
    greetings.greeting: 0.6,
    about.about: 0.8,
    capitals.capital: 1.2,
    arithmetic.sum_or_difference: 2.2,
    arithmetic.times: 0.9,
    words.repeat: 0.9,
    words.reverse: 1.0,
    words.sort: 1.8,
    words.count: 0.8,
    words.counting: 0.5,
    lists.list_or_table: 0.9,
    facts.fact: 1.3,
    refusals.refusal: 0.9,
    passages.passage: 0.6,
    memory.introduction: 0.2,
}


def _memory(rng: random.Random) -> Dialogue:
    return memory.memory(rng, _fillers(rng))


def _style(rng: random.Random) -> Dialogue:
    return styles.style(rng, exchange(rng, Split.TRAIN))


def _not_needed(rng: random.Random) -> Dialogue:
    return tools.not_needed(rng, exchange(rng, Split.TRAIN))


_DIALOGUES: dict[MakeDialogue, float] = {
    _memory: 0.9,
    _style: 1.2,
    _not_needed: 0.5,
    tools.call: 1.5,
    tools.result: 0.8,
    tools.arguments_only: 0.3,
    capitals.follow_up: 0.25,
    records.json_answer: 1.6,
}
# What is learnt last gets more of the later parts of the training, and what is learnt first less.
# (step that begins the part, weights that are others from there on)
_PARTS: tuple[tuple[int, dict[Any, float]], ...] = (
    (
        1300,
        {
            about.about: 0.5,
            passages.passage: 1.8,
            facts.fact: 2.1,
            words.counting: 0.7,
        },
    ),
    (
        1600,
        {
            about.about: 0.35,
            arithmetic.sum_or_difference: 3.5,
            facts.fact: 3.2,
            lists.list_or_table: 0.6,
            passages.passage: 1.0,
            refusals.refusal: 0.6,
            tools.result: 0.4,
            _style: 1.5,
        },
    ),
    (
        2550,
        {
            arithmetic.sum_or_difference: 5.5,
            capitals.capital: 0.8,
            passages.passage: 0.7,
            records.json_answer: 2.4,
            words.repeat: 1.8,
            words.sort: 2.2,
            tools.call: 0.9,
            tools.result: 0.4,
            _memory: 0.5,
            _style: 3.0,
        },
    ),
)
_MAKERS: list[MakeDialogue] = [*map(_one, _EXCHANGES), *_DIALOGUES]


def _weights(step: int) -> list[float]:
    """Of the makers."""
    weights: dict[Any, float] = {**_EXCHANGES, **_DIALOGUES}
    for begins, others in _PARTS:
        if step >= begins:
            weights |= others
    return list(weights.values())


def exchange(rng: random.Random, split: Split) -> Exchange:
    """One question and its answer, of any skill that is one."""
    make = rng.choices(list(_EXCHANGES), list(_EXCHANGES.values()))[0]
    return drawn(rng, split, make, lambda made: made.key)


def dialogue(rng: random.Random, split: Split, step: int = 0) -> Dialogue:
    """The last answer is of `split`; whatever comes before it may have been trained on.

    `step` of the training: the skills' shares change with it.
    """
    make = rng.choices(_MAKERS, _weights(step))[0]
    return _dressed(rng, drawn(rng, split, make, lambda made: made.key))


def dialogues_of(skill: str, count: int, seed: int) -> list[Dialogue]:
    """`count` held-out ones of one skill, none twice, and none that only a grammar asks for.

    Fewer where the skill has hardly more: greetings.
    """
    rng = random.Random(f"{skill}|{seed}")
    found: dict[str, Dialogue] = {}
    for _ in range(_PATIENCE * count):
        if len(found) == count:
            break
        made = dialogue(rng, Split.HELD_OUT)
        if made.skill == skill and not made.forced:
            found.setdefault(made.key, made)
    return list(found.values())


def _dressed(rng: random.Random, made: Dialogue) -> Dialogue:
    """With earlier turns, a system prompt that changes nothing, with thinking; now and then."""
    if not made.forced:
        made = replace(made, thinking=rng.random() < _THINKING)
    if made.messages[0]["role"] == "user" and rng.random() < (0.2 if made.tools else 0.4):
        earlier = [one for one in _fillers(rng) if not made.tools or one.skill in _BESIDE_TOOLS]
        turns = [turn for one in earlier for turn in (user(one.user), assistant(one.answer))]
        made = replace(made, messages=(*turns, *made.messages))
    if made.messages[0]["role"] != "system" and rng.random() < 0.12:
        made = styles.neutral(rng, made)
    return made


def _fillers(rng: random.Random) -> list[Exchange]:
    return [exchange(rng, Split.TRAIN) for _ in range(rng.choice((0, 1, 1, 2)))]
