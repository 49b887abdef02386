"""Reading: who has how many of what, in a text that may be long."""

import random

from demo_model.exchange import Exchange
from demo_model.phrasing import made_up
from demo_model.world.countries import CAPITALS
from demo_model.world.words import JOBS, NAMES, THINGS

SKILL = "reading"


def passage(rng: random.Random) -> Exchange:
    number = rng.choice((2, 3, 3, 4, 5, 6, 8, 12))
    names = rng.sample(NAMES, number)
    if rng.random() < 0.3:
        names[rng.randrange(number)] = made_up(rng)
    sentences, questions = zip(*(_told(rng, name) for name in names), strict=True)
    question, answer, short = questions[rng.randrange(number)]
    text = " ".join(sentences)
    asked = rng.choice(
        (
            f"{text} {question}",
            f"{text}\n\n{question}",
            f"Read this: {text}\nQuestion: {question}",
            f"Here is a text. {text} {question}",
        )
    )
    thought = f"The text says: {answer}"
    return Exchange(SKILL, asked, answer, f"{SKILL}|{text}", thought, short)


def _told(rng: random.Random, name: str) -> tuple[str, tuple[str, str, str]]:
    """A sentence about `name`, and a question with its answer."""
    kind = rng.randrange(4)
    if kind == 0:
        number, thing = rng.randint(2, 99), rng.choice(THINGS)
        fact = f"{name} has {number} {thing}."
        return fact, (f"How many {thing} does {name} have?", fact, str(number))
    if kind == 1:
        city = rng.choice(CAPITALS)
        fact = f"{name} lives in {city}."
        return fact, (f"Where does {name} live?", fact, city)
    if kind == 2:
        job = rng.choice(JOBS)
        fact = f"{name} works as a {job}."
        return fact, (f"What is the job of {name}?", fact, job)
    age = rng.randint(5, 95)
    fact = f"{name} is {age} years old."
    return fact, (f"How old is {name}?", fact, str(age))
