"""Random prompts: each differs from its first token on, so that no cache can help."""

import random
from dataclasses import dataclass
from typing import Any

WORDS = [
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
    "problem",
    "hand",
    "part",
    "place",
    "case",
    "week",
    "company",
    "system",
    "program",
    "question",
    "work",
    "number",
    "night",
    "point",
    "home",
    "water",
    "room",
    "mother",
    "area",
    "money",
    "story",
    "fact",
    "month",
    "lot",
    "right",
    "study",
    "book",
    "eye",
    "job",
    "word",
]


@dataclass(frozen=True, slots=True)
class Shape:
    """What each request asks for."""

    endpoint: str  # "chat" or "completions"
    input_len: int  # token ids, or words for chat
    output_len: int  # tokens
    token_ids: tuple[int, int]  # prompts draw from low up to, not including, high

    @property
    def path(self) -> str:
        return "/v1/chat/completions" if self.endpoint == "chat" else "/v1/completions"


def body(shape: Shape, model: str, draw: random.Random) -> dict[str, Any]:
    common = {
        "model": model,
        "max_tokens": shape.output_len,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if shape.endpoint == "chat":
        text = " ".join(draw.choices(WORDS, k=shape.input_len))
        return {**common, "messages": [{"role": "user", "content": text}]}
    low, high = shape.token_ids
    return {**common, "prompt": [draw.randrange(low, high) for _ in range(shape.input_len)]}


def brings_tokens(event: dict[str, Any]) -> bool:
    """Whether a stream's message is worth a tick: not the opening role, not the closing reason."""
    for choice in event.get("choices", ()):
        delta = choice.get("delta")
        text = choice.get("text") if delta is None else delta.get("content")
        opening = delta is not None and "role" in delta
        if text or not (opening or choice.get("finish_reason")):
            return True
    return False
