"""Dialogues of all skills, drawn by a seed: the training data, and what is kept back from it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

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
_THINKING = 0.25  # of all dialogues
# Earlier turns that no tool would have answered.
_BESIDE_TOOLS = {greetings.SKILL, about.SKILL, capitals.SKILL, lists.SKILL, facts.SKILL, words.SORT}


@dataclass(frozen=True, slots=True)
class Share:
    """Of a skill in the dialogues, and of it in the turns before."""

    weight: float
    make: Callable[[random.Random], Dialogue]


def _one(make: MakeExchange) -> Callable[[random.Random], Dialogue]:
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
_FEATURES: dict[Callable[[random.Random], Dialogue], float] = {
    lambda rng: memory.memory(rng, _fillers(rng)): 0.9,
    lambda rng: styles.style(rng, exchange(rng, Split.TRAIN)): 1.2,
    lambda rng: tools.not_needed(rng, exchange(rng, Split.TRAIN)): 0.5,
    tools.call: 1.5,
    tools.result: 0.8,
    tools.arguments_only: 0.3,
    capitals.follow_up: 0.25,
    records.json_answer: 1.6,
}
_SHARES = [Share(weight, _one(make)) for make, weight in _EXCHANGES.items()]
_SHARES += [Share(weight, make) for make, weight in _FEATURES.items()]
_WEIGHTS = [share.weight for share in _SHARES]


def exchange(rng: random.Random, split: Split) -> Exchange:
    """One question and its answer, of any skill that is one."""
    make = rng.choices(list(_EXCHANGES), list(_EXCHANGES.values()))[0]
    return drawn(rng, split, make, lambda made: made.key)


def dialogue(rng: random.Random, split: Split) -> Dialogue:
    """The last answer is of `split`; whatever comes before it may have been trained on."""
    share = rng.choices(_SHARES, _WEIGHTS)[0]
    return _dressed(rng, drawn(rng, split, share.make, lambda made: made.key))


def dialogues_of(skill: str, count: int, seed: int) -> list[Dialogue]:
    """`count` held-out ones of one skill, none twice."""
    rng = random.Random(f"{skill}|{seed}")
    found: dict[str, Dialogue] = {}
    while len(found) < count:
        made = dialogue(rng, Split.HELD_OUT)
        if made.skill == skill:
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
