"""Lists of things and small tables in Markdown."""

import random

from demo_model.exchange import Exchange
from demo_model.phrasing import joined, made_up, put
from demo_model.world.countries import COUNTRIES
from demo_model.world.words import LISTS, NAMES, PLURALS, WORDS

SKILL = "lists and tables"
_NUMBERS = ("one", "two", "three", "four", "five")
_CATEGORY = (
    "List {n} {things}.",
    "Name {n} {things}.",
    "Give me {n} {things}.",
    "Give me a list of {n} {things}.",
    "Write a list of {n} {things}.",
    "Can you name {n} {things}?",
    "I need {n} {things}.",
)
_NUMBERED = (
    "Make a numbered list of {}.",
    "Write a numbered list: {}",
    "Number these: {}",
    "Turn this into a numbered list: {}",
)
_BULLETS = (
    "Make a bullet list of {}.",
    "Write a bullet list: {}",
    "Make bullet points: {}",
    "Turn this into a bullet list: {}",
)
_CAPITALS = (
    "Make a table of the capitals of {}.",
    "Write a table with the capitals of {}.",
    "Show me a table of the capitals of {}.",
    "A table of the capitals of {}, please.",
    "Give me the capitals of {} as a table.",
)
_AGES = (
    "Make a table: {}.",
    "Make a table with name and age: {}.",
    "Write this as a table: {}.",
    "Put this into a table: {}.",
)


def list_or_table(rng: random.Random) -> Exchange:
    return rng.choice((_category, _given, _given, _capitals, _ages))(rng)


def _category(rng: random.Random) -> Exchange:
    name = rng.choice(tuple(LISTS))
    number = rng.randint(2, 5) if name != "season" else rng.randint(2, 4)
    frame = rng.choice(_CATEGORY)
    written = _NUMBERS[number - 1] if rng.random() < 0.6 else str(number)
    words = LISTS[name][:number]
    return Exchange(
        SKILL,
        put(rng, frame.format(n=written, things=PLURALS[name])),
        numbered(words),
        f"{SKILL}|{frame}|{name}|{written}",
        f"I need {number} {PLURALS[name]}: {', '.join(words)}.",
        ", ".join(words),
    )


def _given(rng: random.Random) -> Exchange:
    words = rng.sample(rng.choice((WORDS, NAMES)), rng.randint(2, 5))
    bullets = rng.random() < 0.4
    frame = rng.choice(_BULLETS if bullets else _NUMBERED)
    text = joined(words) if frame[-1] == "." else ", ".join(words)
    answer = "\n".join(f"- {word}" for word in words) if bullets else numbered(words)
    return Exchange(
        SKILL,
        frame.format(text),
        answer,
        f"{SKILL}|{bullets}|{','.join(words)}",
        f"The list has {len(words)} entries.",
    )


def _capitals(rng: random.Random) -> Exchange:
    countries = rng.sample(COUNTRIES, rng.randint(2, 4))
    names = [country.name for country in countries]
    rows = [(country.name, country.capital) for country in countries]
    return Exchange(
        SKILL,
        rng.choice(_CAPITALS).format(joined(names)),
        table(("Country", "Capital"), rows),
        f"{SKILL}|table|{','.join(names)}",
        f"The table has {len(rows)} rows.",
    )


def _ages(rng: random.Random) -> Exchange:
    names = rng.sample(NAMES, rng.randint(2, 4))
    if rng.random() < 0.3:
        names[0] = made_up(rng)
    rows = [(name, str(rng.randint(5, 95))) for name in names]
    text = ", ".join(f"{name} is {age}" for name, age in rows)
    return Exchange(
        SKILL,
        rng.choice(_AGES).format(text),
        table(("Name", "Age"), rows),
        f"{SKILL}|table|{text}",
        f"The table has {len(rows)} rows.",
    )


def numbered(words: tuple[str, ...] | list[str]) -> str:
    return "\n".join(f"{index}. {word}" for index, word in enumerate(words, 1))


def table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    """In Markdown."""
    lines = [head, ("---", "---"), *rows]
    return "\n".join(f"| {one} | {other} |" for one, other in lines)
