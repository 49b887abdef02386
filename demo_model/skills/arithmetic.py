"""Sums and differences of numbers up to two digits, products and quotients, comparisons."""

import random

from demo_model.exchange import Exchange
from demo_model.phrasing import put
from demo_model.world.words import THINGS

SKILL = "arithmetic"
TIMES = "times tables"
_PLAIN = (
    "What is {0} {op} {1}?",
    "{0} {op} {1}",
    "{0}{op}{1}",
    "{0} {op} {1} = ?",
    "{0} {op} {1} =",
    "Calculate {0} {op} {1}.",
    "How much is {0} {op} {1}?",
    "Compute {0} {op} {1}.",
    "What is {0} {word} {1}?",
    "How much is {0} {word} {1}?",
    "What does {0} {op} {1} make?",
    "Solve {0} {op} {1}.",
)
_MORE = {
    "+": (
        "Add {0} and {1}.",
        "What is the sum of {0} and {1}?",
        "I have {0} {thing} and get {1} more. How many {thing} do I have?",
        "There are {0} {thing} here and {1} there. How many {thing} are there?",
    ),
    "-": (
        "Subtract {1} from {0}.",
        "What is the difference of {0} and {1}?",
        "Take {1} away from {0}.",
        "I have {0} {thing} and give away {1}. How many {thing} are left?",
    ),
    "*": ("Multiply {0} by {1}.", "What is the product of {0} and {1}?", "{0} x {1}", "{0} × {1}"),
    "/": ("Divide {0} by {1}.", "{0} divided by {1}?"),
}
_WORDS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}


def sum_or_difference(rng: random.Random) -> Exchange:
    op = rng.choice("++-")
    one, other = _number(rng), _number(rng)
    if op == "-" and one < other and rng.random() < 0.8:
        one, other = other, one
    result = one + other if op == "+" else one - other
    steps = _sum_steps(one, other) if op == "+" else _difference_steps(one, other)
    return _exchange(rng, SKILL, (one, op, other), result, steps, key_of(one, op, other))


def key_of(one: int, op: str, other: int) -> str:
    """2 + 3 is nothing new after 3 + 2."""
    low, high = sorted((one, other)) if op == "+" else (one, other)
    return f"{low}{op}{high}"


def times(rng: random.Random) -> Exchange:
    """Products to 12 * 12 and their quotients by heart, two digits by one in steps."""
    kind = rng.choice(("table", "table", "quotient", "long"))
    one, other = rng.randint(0, 12), rng.randint(0, 12)
    if kind == "long":
        one, other = rng.randint(13, 99), rng.randint(2, 9)
        tens, ones = one // 10 * 10 * other, one % 10 * other
        steps = f"{one} * {other} = {tens} + {ones} = {tens + ones}"
        return _exchange(rng, TIMES, (one, "*", other), tens + ones, steps, f"{one}*{other}")
    op = "*"
    if kind == "quotient":
        other = max(1, other)
        one, op = one * other, "/"
    result = one * other if op == "*" else one // other
    steps = f"{one} {op} {other} = {result}"
    return _exchange(rng, TIMES, (one, op, other), result, steps, None)


def _exchange(
    rng: random.Random,
    skill: str,
    task: tuple[int, str, int],
    result: int,
    steps: str,
    key: str | None,
) -> Exchange:
    """`key` None: a fact learnt by heart, of which only the combination with a phrasing is new."""
    one, op, other = task
    frames = _PLAIN + _MORE[op]
    if min(one, other) < 2 or result < 0:
        frames = _PLAIN
    frame = rng.choice(frames)
    thing = rng.choice(THINGS)
    asked = frame.format(one, other, op=op, word=_WORDS[op], thing=thing)
    at_once = op != "*" or one <= 12
    answer = f"{one} {op} {other} = {result}." if at_once else f"{steps}."
    return Exchange(
        skill,
        put(rng, asked) if frame[0] != "{" else asked,
        answer,
        key or f"{task}|{frame}",
        f"{steps}.",
        str(result),
    )


def _number(rng: random.Random) -> int:
    return rng.randint(0, 99) if rng.random() < 0.85 else rng.randint(0, 12)


def _sum_steps(one: int, other: int) -> str:
    tens, ones = one // 10 * 10 + other // 10 * 10, one % 10 + other % 10
    return (
        f"{one // 10 * 10} + {other // 10 * 10} = {tens}, {one % 10} + {other % 10} = {ones}, "
        f"{tens} + {ones} = {one + other}"
    )


def _difference_steps(one: int, other: int) -> str:
    if one < other:
        return f"{other} - {one} = {other - one}, so {one} - {other} = {one - other}"
    tens, ones = other // 10 * 10, other % 10
    return f"{one} - {tens} = {one - tens}, {one - tens} - {ones} = {one - other}"
