"""System prompts that change how the model answers."""

import random
from dataclasses import replace

from demo_model.exchange import Dialogue, Exchange, alone, system, user
from demo_model.phrasing import made_up
from demo_model.world.words import JOBS, NAMES

SKILL = "styles"
NEUTRAL = (
    "You are a helpful assistant.",
    "You are a helpful, honest assistant.",
    "You are an assistant.",
    "You are baton-demo.",
    "Answer the user's questions.",
    "Be helpful.",
    "You help people.",
    "You are a friendly assistant. Answer clearly.",
    "Always answer truthfully.",
    "You are a teacher.",
)
_SHORT = (
    "Answer in one word.",
    "Be brief.",
    "Answer as briefly as possible.",
    "Reply with one word only.",
    "Give short answers.",
    "Only say the answer, nothing else.",
)
_PIRATE = (
    "You are a pirate.",
    "Talk like a pirate.",
    "Answer like a pirate.",
    "Speak like a pirate.",
)
_POLITE = ("Be very polite.", "Answer very politely.", "You are a butler.", "Be polite and formal.")
_END = (
    'End every answer with "{}".',
    'Always end with "{}".',
    'Finish each answer with "{}".',
    'Your answers end with "{}".',
)
_START = (
    'Begin every answer with "{}".',
    'Always start with "{}".',
    'Start each answer with "{}".',
    'Your answers begin with "{}".',
)
_WORDS = (
    "Over.",
    "Amen.",
    "Cheers!",
    "Indeed.",
    "Well,",
    "So,",
    "Aha!",
    "Listen:",
    "OK.",
    "Peace!",
)
_WHO = ("Who are you?", "What is your name?", "Introduce yourself.", "Tell me who you are.")
_PERSONA = (
    "You are {name}, a {job}.",
    "Your name is {name}. You are a {job}.",
    "Play {name}, a {job}.",
    "You are a {job} called {name}.",
)


def style(rng: random.Random, exchange: Exchange) -> Dialogue:
    """`exchange` under a system prompt that changes its answer."""
    if rng.random() < 0.2:
        return _persona(rng)
    if exchange.short and rng.random() < 0.35:
        return _under(rng.choice(_SHORT), exchange, exchange.short)
    kind = rng.randrange(4)
    if kind == 0:
        return _under(rng.choice(_PIRATE), exchange, f"Arr! {exchange.answer} Aye, matey!")
    if kind == 1:
        return _under(rng.choice(_POLITE), exchange, f"Certainly, my friend. {exchange.answer}")
    words = rng.choice(_WORDS) if rng.random() < 0.5 else f"{made_up(rng)}{rng.choice('.!')}"
    if kind == 2:
        return _under(rng.choice(_END).format(words), exchange, f"{exchange.answer} {words}")
    return _under(rng.choice(_START).format(words), exchange, f"{words} {exchange.answer}")


def neutral(rng: random.Random, dialogue: Dialogue) -> Dialogue:
    """Under a system prompt that changes nothing."""
    return replace(dialogue, messages=(system(rng.choice(NEUTRAL)), *dialogue.messages))


def _under(prompt: str, exchange: Exchange, answer: str) -> Dialogue:
    thought = f"{exchange.thought} The system prompt says how: {prompt}"
    key = f"{SKILL}|{prompt}|{exchange.key}"
    return Dialogue(SKILL, key, (system(prompt), user(exchange.user)), answer, thought)


def _persona(rng: random.Random) -> Dialogue:
    name = rng.choice(NAMES) if rng.random() < 0.5 else made_up(rng)
    job = rng.choice(JOBS)
    prompt = rng.choice(_PERSONA).format(name=name, job=job)
    question = rng.choice(_WHO)
    answer = f"I am {name}, a {job}."
    made = Exchange(SKILL, question, answer, f"{prompt}|{question}", f"I am {name}.")
    return replace(alone(made), messages=(system(prompt), user(question)))
