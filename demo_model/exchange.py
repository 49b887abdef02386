"""The units that the generator writes: a question with its answer, and a dialogue of several."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

Message = Mapping[str, Any]  # as in the OpenAI protocol


@dataclass(frozen=True, slots=True)
class Exchange:
    """A user's words and the one right answer to them."""

    skill: str
    user: str
    answer: str
    key: str  # decides whether it is held out; says all that makes it new
    thought: str  # how the answer comes about, in a line or two
    short: str = ""  # the answer in a word, where there is one

    def rekeyed(self, key: str) -> "Exchange":
        return replace(self, key=key)


@dataclass(frozen=True, slots=True)
class Call:
    """Of a tool."""

    name: str
    arguments: Mapping[str, Any]

    @property
    def markup(self) -> str:
        body = json.dumps({"name": self.name, "arguments": self.arguments}, ensure_ascii=False)
        return f"<tool_call>\n{body}\n</tool_call>"


@dataclass(frozen=True, slots=True)
class Dialogue:
    """All that comes before an answer, and the answer."""

    skill: str
    key: str
    messages: tuple[Message, ...]  # the last is the user's, or a tool's
    answer: str
    thought: str
    tools: tuple[Mapping[str, Any], ...] = ()
    thinking: bool = False  # the template's enable_thinking
    forced: bool = False  # the answer is JSON of which a grammar writes all but the values

    @property
    def completion(self) -> str:
        """What the model is to write after the template's prompt, up to the end of its turn."""
        if not self.thinking:
            return self.answer
        return f"<think>\n{self.thought}\n</think>\n\n{self.answer}"


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def system(text: str) -> Message:
    return {"role": "system", "content": text}


def calling(*calls: Call) -> Message:
    """An assistant's turn that calls tools."""
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ],
    }


def tool_result(content: str) -> Message:
    return {"role": "tool", "content": content}


def alone(exchange: Exchange) -> Dialogue:
    """A dialogue of nothing but this."""
    return Dialogue(
        exchange.skill,
        exchange.key,
        (user(exchange.user),),
        exchange.answer,
        exchange.thought,
    )
