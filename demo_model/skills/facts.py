"""Yes or no, in a closed world of countries, animals and numbers."""

import random

from demo_model.exchange import Exchange
from demo_model.phrasing import put
from demo_model.world.animals import ANIMALS, KINDS, article
from demo_model.world.countries import CONTINENTS, COUNTRIES

SKILL = "yes or no"
_IS_CAPITAL = (
    "Is {city} the capital of {country}?",
    "Is the capital of {country} {city}?",
    "{city} is the capital of {country}, right?",
    "True or false: {city} is the capital of {country}.",
)
_IS_IN = ("Is {} in {}?", "{} is in {}, right?", "True or false: {} is in {}.")
_IS_A = ("Is {} {}?", "{} is {}, right?", "True or false: {} is {}.")
_GREATER = (
    "Is {} greater than {}?",
    "Is {} more than {}?",
    "Is {} larger than {}?",
    "True or false: {} is greater than {}.",
)
_LEGS = (
    "How many legs does {} have?",
    "How many legs has {}?",
    "Tell me how many legs {} has.",
)


def fact(rng: random.Random) -> Exchange:
    return rng.choice((_is_capital, _is_capital, _is_in, _is_a, _can, _legs, _greater, _greater))(
        rng
    )


def _is_capital(rng: random.Random) -> Exchange:
    country = rng.choice(COUNTRIES)
    true = rng.random() < 0.5
    city = country.capital if true else rng.choice(COUNTRIES).capital
    true = city == country.capital
    frame = rng.choice(_IS_CAPITAL)
    answer = (
        f"Yes, {city} is the capital of {country.name}."
        if true
        else f"No, the capital of {country.name} is {country.capital}."
    )
    return Exchange(
        SKILL,
        put(rng, frame.format(city=city, country=country.name)),
        answer,
        f"{SKILL}|{city}|{country.name}|{frame if true else ''}",
        f"The capital of {country.name} is {country.capital}. The user says {city}.",
        "Yes" if true else "No",
    )


def _is_in(rng: random.Random) -> Exchange:
    country = rng.choice(COUNTRIES)
    continent = country.continent if rng.random() < 0.5 else rng.choice(CONTINENTS)
    true = continent == country.continent
    frame = rng.choice(_IS_IN)
    said = "Yes" if true else "No"
    return Exchange(
        SKILL,
        put(rng, frame.format(country.name, continent)),
        f"{said}, {country.name} is in {country.continent}.",
        f"{SKILL}|{frame}|{country.name}|{continent}",
        f"{country.name} is in {country.continent}. The user says {continent}.",
        said,
    )


def _is_a(rng: random.Random) -> Exchange:
    animal = rng.choice(ANIMALS)
    kind = animal.kind if rng.random() < 0.5 else rng.choice(KINDS)
    true = kind == animal.kind
    frame = rng.choice(_IS_A)
    said = "Yes" if true else "No"
    asked = frame.format(article(animal.name), article(kind))
    return Exchange(
        SKILL,
        put(rng, asked[0].upper() + asked[1:]),
        f"{said}, {article(animal.name)} is {article(animal.kind)}.",
        f"{SKILL}|{frame}|{animal.name}|{kind}",
        f"{article(animal.name).capitalize()} is {article(animal.kind)}.",
        said,
    )


def _can(rng: random.Random) -> Exchange:
    animal = rng.choice(ANIMALS)
    verb, true = rng.choice((("fly", animal.flies), ("swim", animal.swims)))
    frame = rng.choice(("Can {} {}?", "Is {} able to {}?", "True or false: {} can {}."))
    can = "can" if true else "cannot"
    said = "Yes" if true else "No"
    return Exchange(
        SKILL,
        put(rng, frame.format(article(animal.name), verb)),
        f"{said}, {article(animal.name)} {can} {verb}.",
        f"{SKILL}|{frame}|{animal.name}|{verb}",
        f"{article(animal.name).capitalize()} {can} {verb}.",
        said,
    )


def _legs(rng: random.Random) -> Exchange:
    animal = rng.choice(ANIMALS)
    frame = rng.choice(_LEGS)
    legs = f"{animal.legs} legs" if animal.legs else "no legs"
    return Exchange(
        SKILL,
        put(rng, frame.format(article(animal.name))),
        f"{article(animal.name).capitalize()} has {legs}.",
        f"{SKILL}|{frame}|{animal.name}",
        f"I know that {article(animal.name)} has {legs}.",
        str(animal.legs),
    )


def _greater(rng: random.Random) -> Exchange:
    one, other = rng.sample(range(100), 2)
    true = one > other
    said = "Yes" if true else "No"
    relation = "greater" if true else "smaller"
    return Exchange(
        SKILL,
        put(rng, rng.choice(_GREATER).format(one, other)),
        f"{said}, {one} is {relation} than {other}.",
        f"{SKILL}|{one}>{other}",
        f"I compare {one} with {other}: {one} is {relation}.",
        said,
    )
