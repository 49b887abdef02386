"""Capitals and continents of the countries that the model knows, and of those it does not."""

import random

from demo_model.exchange import Dialogue, Exchange, assistant, user
from demo_model.phrasing import made_up, put
from demo_model.world.countries import COUNTRIES, UNKNOWN

SKILL = "capitals"
_CAPITAL = (
    "What is the capital of {}?",
    "What's the capital of {}?",
    "Which city is the capital of {}?",
    "Name the capital of {}.",
    "Tell me the capital of {}.",
    "Capital of {}?",
    "capital of {}",
    "Do you know the capital of {}?",
    "What is the capital city of {}?",
    "Can you tell me the capital of {}?",
    "I need the capital of {}.",
    "{}: what is its capital?",
    "Which capital does {} have?",
    "What is {}'s capital?",
)
_COUNTRY = (
    "{} is the capital of which country?",
    "Which country has the capital {}?",
    "Of which country is {} the capital?",
    "In which country is {}?",
    "Where is {}?",
    "What country is {} in?",
)
_AND = (
    "And {}?",
    "And of {}?",
    "What about {}?",
    "And what about {}?",
    "Now {}.",
    "And the one of {}?",
)
_CONTINENT = (
    "On which continent is {}?",
    "Which continent is {} on?",
    "What continent is {} in?",
    "Where in the world is {}?",
    "Name the continent of {}.",
    "What is the continent of {}?",
)


def capital(rng: random.Random) -> Exchange:
    return rng.choices((_capital, _country, _continent, _unknown), (5, 2, 1, 2))[0](rng)


def follow_up(rng: random.Random) -> Dialogue:
    """Only the country is named anew."""
    before, country = rng.sample(COUNTRIES, 2)
    frame = rng.choice(_AND)
    return Dialogue(
        SKILL,
        f"{SKILL}|{frame}|{country.name}",
        (
            user(rng.choice(_CAPITAL).format(before.name)),
            assistant(f"The capital of {before.name} is {before.capital}."),
            user(frame.format(country.name)),
        ),
        f"The capital of {country.name} is {country.capital}.",
        f"The user asks for the capital of {country.name}. It is {country.capital}.",
    )


def _capital(rng: random.Random) -> Exchange:
    country = rng.choice(COUNTRIES)
    frame = rng.choice(_CAPITAL)
    return Exchange(
        SKILL,
        put(rng, frame.format(country.name)),
        f"The capital of {country.name} is {country.capital}.",
        f"{SKILL}|{frame}|{country.name}",
        f"The user asks for the capital of {country.name}. It is {country.capital}.",
        country.capital,
    )


def _country(rng: random.Random) -> Exchange:
    country = rng.choice(COUNTRIES)
    frame = rng.choice(_COUNTRY)
    return Exchange(
        SKILL,
        put(rng, frame.format(country.capital)),
        f"{country.capital} is the capital of {country.name}.",
        f"{SKILL}|{frame}|{country.name}",
        f"The user asks where {country.capital} is. It is in {country.name}.",
        country.name,
    )


def _continent(rng: random.Random) -> Exchange:
    country = rng.choice(COUNTRIES)
    frame = rng.choice(_CONTINENT)
    return Exchange(
        SKILL,
        put(rng, frame.format(country.name)),
        f"{country.name} is in {country.continent}.",
        f"{SKILL}|{frame}|{country.name}",
        f"The user asks for the continent of {country.name}. It is {country.continent}.",
        country.continent,
    )


def _unknown(rng: random.Random) -> Exchange:
    name = rng.choice(UNKNOWN) if rng.random() < 0.4 else made_up(rng)
    frame = rng.choice(_CAPITAL)
    return Exchange(
        SKILL,
        frame.format(name),
        f"I do not know the capital of {name}.",
        f"{SKILL}|{name}|{frame if name in UNKNOWN else ''}",
        f"The user asks for the capital of {name}. I do not know this country.",
        "unknown",
    )
