"""What the model does not know, it says."""

import random

from demo_model.exchange import Exchange
from demo_model.phrasing import made_up, put
from demo_model.world.countries import CAPITALS
from demo_model.world.words import NAMES, WORDS

SKILL = "refusals"
UNKNOWN = "I do not know that. I am only a small demo model."
NO_WEATHER = "I cannot see the weather without a tool."
NO_TIME = "I cannot see a clock without a tool."
_QUESTIONS = (
    "Who won the {} in {year}?",
    "Who invented the {}?",
    "Who wrote the book {}?",
    "When was the {} invented?",
    "When was {name} born?",
    "Who is {name} {made}?",
    "What do you think about the {}?",
    "Write an essay about the {}.",
    "Write a program that prints the {}.",
    "What happened in {year}?",
    "Explain how a {} works.",
    "What is the meaning of the {}?",
    "How do I cook a {}?",
    "How do I repair a {}?",
    "How much does a {} cost?",
    "What is the price of {made} shares?",
    "What is the population of {city}?",
    "Who is the president of {made}?",
    "Recommend a {} to me.",
    "Where can I buy a {}?",
    "Why is the {} so big?",
    "How old is {name} {made}?",
    "What is {made}?",
    "Who is {made}?",
    "Where is {made}?",
    "What does {made} mean?",
    "Tell me about the history of the {}.",
    "Which {} is the best?",
    "What is the news today?",
    "Should I buy a {}?",
    "Translate {} into {made}.",
    "What is the length of the river {made}?",
    "How far is it from {city} to {made}?",
    "Draw a {}.",
    "Sing a song about the {}.",
)
_WEATHER = (
    "What is the weather in {}?",
    "How is the weather in {}?",
    "Is it raining in {}?",
    "What is the temperature in {}?",
    "Will it be sunny in {}?",
    "Tell me the weather in {}.",
    "What's the weather like in {}?",
)
_TIME = (
    "What time is it?",
    "What time is it in {}?",
    "What day is it today?",
    "Tell me the time in {}.",
)


def refusal(rng: random.Random) -> Exchange:
    kind = rng.random()
    if kind < 0.2:
        return _without_tool(rng, _WEATHER, NO_WEATHER)
    if kind < 0.27:
        return _without_tool(rng, _TIME, NO_TIME)
    frame = rng.choice(_QUESTIONS)
    asked = frame.format(
        rng.choice(WORDS),
        year=rng.randint(1700, 2025),
        name=rng.choice(NAMES),
        made=made_up(rng),
        city=rng.choice(CAPITALS),
    )
    thought = "This is nothing that I have learnt. I say so."
    return Exchange(SKILL, put(rng, asked), UNKNOWN, f"{SKILL}|{asked}", thought)


def _without_tool(rng: random.Random, frames: tuple[str, ...], answer: str) -> Exchange:
    place = rng.choice(CAPITALS) if rng.random() < 0.7 else made_up(rng)
    asked = rng.choice(frames).format(place)
    thought = "I would need a tool for that, and I have none."
    return Exchange(SKILL, put(rng, asked), answer, f"{SKILL}|{asked}", thought)
