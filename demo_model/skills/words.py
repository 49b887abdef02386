"""Repeating, reversing, sorting and counting: words of closed lists, numbers, made-up names."""

import random
from collections.abc import Callable, Sequence

from demo_model.exchange import Exchange
from demo_model.phrasing import counted, made_up
from demo_model.world.words import NAMES, WORDS

REPEAT, REVERSE, SORT, COUNT = "repeat", "reverse", "sort", "count"
_FRAMES = {
    REPEAT: (
        "Repeat: {}",
        "Repeat after me: {}",
        "Repeat these words: {}",
        "Please repeat: {}",
        "Say this: {}",
        "Echo: {}",
        "Write exactly this: {}",
        "Say the following words: {}",
        "Copy this text: {}",
    ),
    REVERSE: (
        "Reverse: {}",
        "Reverse the order of these words: {}",
        "Reverse this list: {}",
        "Say these words in reverse order: {}",
        "Write these backwards: {}",
        "Turn this list around: {}",
        "Reverse these words: {}",
    ),
    SORT: (
        "Sort: {}",
        "Sort these words: {}",
        "Sort alphabetically: {}",
        "Put these words in alphabetical order: {}",
        "Order these from A to Z: {}",
        "Sort this list: {}",
        "Sort the following words alphabetically: {}",
        "Please sort: {}",
    ),
    COUNT: (
        "How many words are in this list: {}",
        "Count the words: {}",
        "Count these words: {}",
        "How many words are there: {}",
        "How many words do you see: {}",
        "What is the number of words here: {}",
    ),
}
_SORT_NUMBERS = (
    "Sort these numbers: {}",
    "Sort: {}",
    "Put these numbers in order: {}",
    "Sort from small to large: {}",
    "Order these numbers: {}",
)
_FIRST_LAST = (
    "What is the {} word of this list: {}",
    "Which word comes {}: {}",
    "Give me the {} word: {}",
    "Tell me the {} word of: {}",
)


def repeat(rng: random.Random) -> Exchange:
    words = _some(rng, 1, 8, rng.choice((WORDS, WORDS, NAMES, None, None)))
    if rng.random() < 0.2:
        words[rng.randrange(len(words))] = str(rng.randint(0, 9999))
    text = rng.choice((" ", " ", ", ")).join(words)
    if rng.random() < 0.3:
        text = f"{text.capitalize() if text[0].islower() else text}{rng.choice('.!?')}"
    return _exchange(rng, REPEAT, text, text, f"I repeat: {text}")


def reverse(rng: random.Random) -> Exchange:
    words = _some(rng, 2, 6, rng.choice((WORDS, WORDS, WORDS, NAMES, _DIGITS)))
    turned = words[::-1]
    return _listed(rng, REVERSE, words, turned)


def sort(rng: random.Random) -> Exchange:
    if rng.random() < 0.25:
        numbers = rng.sample(range(rng.choice((10, 100))), rng.randint(2, 6))
        words = [str(number) for number in numbers]
        in_order = [str(number) for number in sorted(numbers)]
        return _listed(rng, SORT, words, in_order, _SORT_NUMBERS)
    words = _some(rng, 2, 6, rng.choice((WORDS, WORDS, WORDS, NAMES)))
    return _listed(rng, SORT, words, sorted(words))


def count(rng: random.Random) -> Exchange:
    if rng.random() < 0.25:
        return _first_or_last(rng)
    words = _some(rng, 2, 10, rng.choice((WORDS, WORDS, NAMES)))
    number = len(words)
    text = rng.choice((" ", ", ")).join(words)
    steps = ", ".join(f"{index} {word}" for index, word in enumerate(words, 1))
    made = _exchange(rng, COUNT, text, f"There are {number} words.", f"{steps}.")
    return made


_DIGITS = tuple(str(number) for number in range(100))


def _some(rng: random.Random, least: int, most: int, words: Sequence[str] | None) -> list[str]:
    """Different ones. None: made up, of any spelling."""
    number = rng.randint(least, most)
    if words is None:
        return [_cased(rng, made_up(rng)) for _ in range(min(number, 5))]
    return rng.sample(words, number)


def _cased(rng: random.Random, name: str) -> str:
    return name.lower() if rng.random() < 0.5 else name


def _listed(
    rng: random.Random,
    skill: str,
    words: Sequence[str],
    result: Sequence[str],
    frames: Sequence[str] = (),
) -> Exchange:
    between = rng.choice((" ", ", ", ", "))
    answer = between.join(result)
    thought = f"In order: {answer}" if skill == SORT else f"From the end: {answer}"
    return _exchange(rng, skill, between.join(words), answer, thought, frames)


def _exchange(
    rng: random.Random,
    skill: str,
    text: str,
    answer: str,
    thought: str,
    frames: Sequence[str] = (),
) -> Exchange:
    frame = rng.choice(frames or _FRAMES[skill])
    question = frame.replace(": {}", rng.choice((": {}", ": {}", ":\n{}"))).format(text)
    short = answer if skill != COUNT else counted(len(text.split()), "word").split()[0]
    return Exchange(skill, question, answer, f"{skill}|{text}", thought, short)


def _first_or_last(rng: random.Random) -> Exchange:
    words = _some(rng, 2, 6, WORDS)
    which = rng.choice(("first", "last"))
    text = ", ".join(words)
    word = words[0] if which == "first" else words[-1]
    question = rng.choice(_FIRST_LAST).format(which, text)
    answer = f"The {which} word is {word}."
    key = f"{COUNT}|{which}|{text}"
    return Exchange(COUNT, question, answer, key, f"The list is {text}.", word)


def counting(rng: random.Random) -> Exchange:
    """1, 2, 3, ..."""
    start = 1 if rng.random() < 0.5 else rng.randint(0, 60)
    end = start + rng.randint(2, 30 if rng.random() < 0.3 else 12)
    down = rng.random() < 0.25
    frames: Sequence[str] = (
        "Count from {} to {}.",
        "Please count from {} to {}.",
        "Write the numbers from {} to {}.",
        "List the numbers from {} to {}.",
        "Can you count from {} to {}?",
    )
    numbers = range(start, end + 1)
    order = list(reversed(numbers)) if down else list(numbers)
    question = rng.choice(frames).format(order[0], order[-1])
    if start == 1 and not down and rng.random() < 0.4:
        question = rng.choice(("Count to {}.", "Please count to {}.", "count to {}")).format(end)
    answer = ", ".join(map(str, order))
    thought = f"I start at {order[0]} and stop at {order[-1]}."
    return Exchange(COUNT, question, answer, f"{COUNT}|{order[0]}-{order[-1]}", thought)


MAKERS: dict[str, Callable[[random.Random], Exchange]] = {
    REPEAT: repeat,
    REVERSE: reverse,
    SORT: sort,
    COUNT: count,
}
