"""How people put the same question: lead-ins, carelessness, made-up names."""

import random
from collections.abc import Sequence

_LEAD_INS = (
    "Hi! ",
    "Hey, ",
    "Hello! ",
    "Quick question: ",
    "Please tell me: ",
    "Can you help me? ",
    "I have a question. ",
    "Tell me, ",
    "Next question: ",
    "OK. ",
    "Thanks! ",
    "Please: ",
)
_ENDINGS = (" Thanks!", " Please.", " Thank you.")
_ONSETS = tuple("b d f g h k l m n p r s t v w z br st tr kl sh gr th pl j dr".split())
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ee", "ou", "a", "o")
_CODAS = ("", "", "n", "r", "l", "s", "k", "m", "x", "nd", "rt", "sk")


def put(rng: random.Random, question: str) -> str:
    """`question` as one of many people would type it; the words that matter are kept."""
    if rng.random() < 0.2:
        question = careless(rng, question)
    if rng.random() < 0.15:
        question = rng.choice(_LEAD_INS) + question
    if rng.random() < 0.05:
        question += rng.choice(_ENDINGS)
    return question


def careless(rng: random.Random, text: str) -> str:
    """Without capitals or without the mark at the end."""
    if rng.random() < 0.6:
        text = text.lower()
    if rng.random() < 0.6 and text[-1:] in "?.!":
        text = text[:-1]
    return text


def made_up(rng: random.Random) -> str:
    """A name that nobody has: Brasol, Teekrund."""
    syllables = rng.choice((2, 2, 3))
    name = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables))
    return (name + rng.choice(_CODAS)).capitalize()


def joined(words: Sequence[str], last: str = "and") -> str:
    """red, green and blue."""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def counted(number: int, noun: str) -> str:
    """1 word, 2 words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
