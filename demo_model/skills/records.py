"""JSON: asked for in words, by a schema in the system prompt, or forced by a grammar."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demo_model.exchange import Dialogue, Message, system, user
from demo_model.phrasing import joined, made_up
from demo_model.skills.arithmetic import key_of
from demo_model.split import Split, drawn
from demo_model.world.animals import ANIMALS, article
from demo_model.world.countries import CAPITALS, COUNTRIES
from demo_model.world.words import JOBS, NAMES, WORDS

SKILL = "JSON"
_SCHEMA = (
    "Answer in JSON that fits this schema: {}",
    "Answer as JSON. Schema: {}",
    "Respond only with JSON that matches this schema:\n{}",
    "Your output is JSON with this schema: {}",
)
_AS_JSON = (
    "{} Answer as JSON with the keys {}.",
    "{} Answer in JSON with the keys {}.",
    "{} Give me JSON with the keys {}.",
    "{} Reply in JSON with the keys {}.",
    "Give me a JSON object with the keys {1}: {0}",
)
_ONE_KEY = (
    "{} Answer as JSON with the key {}.",
    "{} Answer in JSON with the key {}.",
    "{} Give me JSON with the key {}.",
    "{} Reply in JSON with the key {}.",
)
_FREE = ("{} Answer as JSON.", "{} Answer in JSON.", "{} Reply as a JSON object.", "As JSON: {}")
_ARRAY = (
    "Give me these words as a JSON array: {}",
    "Make a JSON list of {}.",
    "Write as a JSON array: {}",
    "Turn this into a JSON array: {}",
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A question whose answer has parts, each under one of several names."""

    question: str
    parts: tuple[tuple[tuple[str, ...], Any], ...]  # possible keys, value


def json_answer(rng: random.Random) -> Dialogue:
    if rng.random() < 0.12:
        return _array(rng)
    fact = rng.choice((_country, _country, _person, _person, _animal, _sum))(rng)
    record = _record(rng, fact)
    return rng.choice((_in_words, _in_words, _free, _by_schema, _by_schema, _forced))(
        rng, fact, record
    )


def _in_words(rng: random.Random, fact: Fact, record: Mapping[str, Any]) -> Dialogue:
    frames = _AS_JSON if len(record) > 1 else _ONE_KEY
    asked = rng.choice(frames).format(fact.question, joined(list(record)))
    return _dialogue(asked, (user(asked),), record)


def _free(rng: random.Random, fact: Fact, record: Mapping[str, Any]) -> Dialogue:
    """Without keys given: the first name of each part."""
    asked = rng.choice(_FREE).format(fact.question)
    return _dialogue(asked, (user(asked),), {names[0]: value for names, value in fact.parts})


def _by_schema(rng: random.Random, fact: Fact, record: Mapping[str, Any]) -> Dialogue:
    prompt = rng.choice(_SCHEMA).format(json.dumps(_schema(rng, record)))
    key = f"{list(record)}|{fact.question}"
    return _dialogue(key, (system(prompt), user(fact.question)), record)


def _forced(rng: random.Random, fact: Fact, record: Mapping[str, Any]) -> Dialogue:
    """Nobody told the model; a grammar writes all but the values."""
    key = f"forced|{list(record)}|{fact.question}"
    return _dialogue(key, (user(fact.question),), record, forced=True)


def _array(rng: random.Random) -> Dialogue:
    if rng.random() < 0.3:
        values: list[Any] = [rng.randint(0, 99) for _ in range(rng.randint(2, 6))]
    else:
        values = rng.sample(rng.choice((WORDS, NAMES)), rng.randint(2, 6))
    text = ", ".join(map(str, values))
    asked = rng.choice(_ARRAY).format(text)
    return _dialogue(text, (user(asked),), values)


def _dialogue(
    key: str, messages: tuple[Message, ...], value: Any, forced: bool = False
) -> Dialogue:
    answer = json.dumps(value, ensure_ascii=False)
    thought = "The answer must be JSON."
    return Dialogue(SKILL, f"{SKILL}|{key}", messages, answer, thought, forced=forced)


def _record(rng: random.Random, fact: Fact) -> dict[str, Any]:
    """Some of the parts under some of their names, in some order."""
    parts = list(fact.parts)
    if rng.random() < 0.5:
        rng.shuffle(parts)
    if len(parts) > 1 and rng.random() < 0.3:
        parts.pop()
    return {names[0] if rng.random() < 0.5 else rng.choice(names): value for names, value in parts}


def _schema(rng: random.Random, record: Mapping[str, Any]) -> dict[str, Any]:
    types = {str: "string", int: "integer", bool: "boolean"}
    properties = {key: {"type": types[type(value)]} for key, value in record.items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if rng.random() < 0.7:
        schema["required"] = list(record)
    return schema


def _country(rng: random.Random) -> Fact:
    country = rng.choice(COUNTRIES)
    question = rng.choice(
        (
            "What is the capital of {}?",
            "Tell me about {}.",
            "Which capital does {} have?",
            "Give me {} and its capital.",
            "Describe {}.",
        )
    ).format(country.name)
    parts: list[tuple[tuple[str, ...], Any]] = [
        (("country", "name", "nation", "land"), country.name),
        (("capital", "city", "capital_city"), country.capital),
    ]
    if rng.random() < 0.3:
        parts.append((("continent", "region"), country.continent))
    return Fact(question, tuple(parts))


def _person(rng: random.Random) -> Fact:
    name = rng.choice(NAMES) if rng.random() < 0.6 else made_up(rng)
    age, city, job = rng.randint(5, 99), rng.choice(CAPITALS), rng.choice(JOBS)
    known: list[tuple[str, tuple[tuple[str, ...], Any]]] = [
        (f"is {age} years old", (("age", "years"), age)),
        (f"lives in {city}", (("city", "home", "town", "location"), city)),
        (f"works as a {job}", (("job", "profession", "work"), job)),
    ]
    chosen = rng.sample(known, rng.randint(1, 3))
    text = f"{name} {joined([said for said, _ in chosen])}."
    lead = rng.choice(("", "", "Extract the data: ", "Extract: ", "Person: "))
    first: tuple[tuple[str, ...], Any] = (("name", "person", "first_name", "who"), name)
    return Fact(lead + text, (first, *(part for _, part in chosen)))


def _animal(rng: random.Random) -> Fact:
    animal = rng.choice(ANIMALS)
    question = rng.choice(("Describe {}.", "Tell me about {}.", "What is {}?"))
    return Fact(
        question.format(article(animal.name)),
        (
            (("animal", "name"), animal.name),
            (("kind", "class", "type"), animal.kind),
            (("legs", "number_of_legs"), animal.legs),
            (("can_fly", "flies"), animal.flies),
        ),
    )


def _two_numbers(rng: random.Random) -> tuple[int, int]:
    return rng.randint(0, 99), rng.randint(0, 99)


def _sum(rng: random.Random) -> Fact:
    one, other = drawn(rng, Split.TRAIN, _two_numbers, lambda two: key_of(two[0], "+", two[1]))
    question = rng.choice(("What is {} + {}?", "Calculate {} + {}.", "How much is {} + {}?"))
    result: tuple[tuple[str, ...], Any] = (("result", "sum", "answer", "value"), one + other)
    return Fact(question.format(one, other), (result,))
