"""What the user has told earlier in the same conversation."""

import random
from dataclasses import dataclass

from demo_model.exchange import Dialogue, Exchange, assistant, user
from demo_model.phrasing import made_up, put
from demo_model.split import Split, drawn
from demo_model.world.countries import CAPITALS
from demo_model.world.words import JOBS, LISTS, NAMES

SKILL = "memory"


@dataclass(frozen=True, slots=True)
class _Trait:
    told: tuple[str, ...]
    heard: str  # what is answered to it
    asked: tuple[str, ...]
    answer: str
    untold: str  # the answer when it was never told


_TRAITS = {
    "name": _Trait(
        (
            "My name is {}.",
            "I am {}.",
            "Hello, my name is {}.",
            "Hi, I'm {}.",
            "Call me {}.",
            "I am called {}.",
            "Hello! I am {}.",
        ),
        "Nice to meet you, {}!",
        (
            "What is my name?",
            "What's my name?",
            "Who am I?",
            "Do you remember my name?",
            "Tell me my name.",
            "What am I called?",
            "Do you know my name?",
        ),
        "Your name is {}.",
        "You have not told me your name.",
    ),
    "city": _Trait(
        ("I live in {}.", "My home is in {}.", "I am from {}.", "I come from {}."),
        "{} is a good place to live.",
        ("Where do I live?", "Where am I from?", "Which city do I live in?", "In which city am I?"),
        "You live in {}.",
        "You have not told me where you live.",
    ),
    "colour": _Trait(
        ("My favourite colour is {}.", "I like {} most of all colours.", "I love the colour {}."),
        "I will remember that you like {}.",
        ("What is my favourite colour?", "Which colour do I like?", "Which colour do I love?"),
        "Your favourite colour is {}.",
        "You have not told me your favourite colour.",
    ),
    "job": _Trait(
        ("I am a {}.", "I work as a {}.", "My job is {}."),
        "So you are a {}.",
        ("What is my job?", "What do I work as?", "Do you remember my job?"),
        "You are a {}.",
        "You have not told me your job.",
    ),
    "age": _Trait(
        ("I am {} years old.", "My age is {}.", "I turned {} today."),
        "You are {}, I will remember that.",
        ("How old am I?", "What is my age?", "Do you know my age?"),
        "You are {} years old.",
        "You have not told me your age.",
    ),
    "pet": _Trait(
        ("My dog is called {}.", "I have a dog called {}.", "The name of my dog is {}."),
        "{} is a good name for a dog.",
        ("What is the name of my dog?", "What is my dog called?", "How is my dog called?"),
        "Your dog is called {}.",
        "You have not told me about a dog.",
    ),
    "number": _Trait(
        ("Remember the number {}.", "My lucky number is {}.", "Keep the number {} in mind."),
        "I will remember {}.",
        ("Which number did I tell you?", "What was the number?", "What is my lucky number?"),
        "The number is {}.",
        "You have not told me a number.",
    ),
}


def introduction(rng: random.Random) -> Exchange:
    """The first half alone."""
    kind = rng.choice(tuple(_TRAITS))
    return _telling(rng, kind, _value(rng, kind))


def memory(rng: random.Random, fillers: list[Exchange]) -> Dialogue:
    """Told in one turn, asked in a later one, with `fillers` around."""
    kinds = rng.sample(tuple(_TRAITS), rng.choice((1, 1, 2, 2, 3)))
    told, exchanges = {}, []
    for kind in kinds:
        told[kind], telling = _told(rng, kind)
        exchanges.append(telling)
    for filler in fillers:
        exchanges.insert(rng.randint(0, len(exchanges)), filler)
    asked = rng.choice(kinds) if rng.random() < 0.85 else rng.choice(tuple(_TRAITS))
    trait = _TRAITS[asked]
    answer = trait.answer.format(told[asked]) if asked in told else trait.untold
    question = rng.choice(trait.asked)
    messages = [turn for one in exchanges for turn in (user(one.user), assistant(one.answer))]
    key = "|".join((SKILL, question, *told.values()))
    thought = f"The user asks for something told before. {answer}"
    return Dialogue(SKILL, key, (*messages, user(put(rng, question))), answer, thought)


def _told(rng: random.Random, kind: str) -> tuple[str, Exchange]:
    """A value, and the turn in which it is told: one that is not kept back for `introduction`."""

    def make(rng: random.Random) -> tuple[str, Exchange]:
        value = _value(rng, kind)
        return value, _telling(rng, kind, value)

    return drawn(rng, Split.TRAIN, make, lambda made: made[1].key)


def _telling(rng: random.Random, kind: str, value: str) -> Exchange:
    trait = _TRAITS[kind]
    said = rng.choice(trait.told).format(value)
    heard = trait.heard.format(value)
    return Exchange(SKILL, said, heard, f"{SKILL}|{said}", "The user tells me something.")


def _value(rng: random.Random, kind: str) -> str:
    if kind == "age":
        return str(rng.randint(5, 99))
    if kind == "number":
        return str(rng.randint(0, 9999))
    known = {"name": NAMES, "city": CAPITALS, "colour": LISTS["colour"], "job": JOBS, "pet": NAMES}
    if kind in ("name", "city", "pet") and rng.random() < 0.5:
        return made_up(rng)
    return rng.choice(known[kind])
