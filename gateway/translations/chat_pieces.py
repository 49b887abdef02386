"""What the translations read of a chat answer: chunks as they come, a whole one as a single chunk."""

from dataclasses import dataclass, field
from typing import Any

Chunk = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallPiece:
    """`call_id` and `name` come with a call's first piece."""

    index: int
    call_id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk adds, in the order of a turn: reasoning, content, calls, the end."""

    reasoning: str = ""
    content: str = ""
    calls: list[CallPiece] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: str | int | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """As the chat's usage tells it."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0


def piece_of(chunk: Chunk) -> Piece | None:
    """None for a chunk that has only the usage. There is one choice."""
    if not chunk["choices"]:
        return None
    (choice,) = chunk["choices"]
    delta = choice["delta"]
    return Piece(
        delta.get("reasoning") or delta.get("reasoning_content") or "",
        delta.get("content") or "",
        [_call(call) for call in delta.get("tool_calls") or ()],
        (choice.get("logprobs") or {}).get("content") or [],
        choice.get("finish_reason"),
        choice.get("stop_reason"),
    )


def tokens_of(chunk: Chunk) -> Tokens | None:
    usage = chunk.get("usage")
    if usage is None:
        return None
    return Tokens(
        usage["prompt_tokens"],
        usage["completion_tokens"],
        (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


def as_chunk(answer: dict[str, Any]) -> Chunk:
    """A whole chat answer as the one chunk that says everything."""
    (choice,) = answer["choices"]
    calls = choice["message"].get("tool_calls") or ()
    numbered = [{"index": index, **call} for index, call in enumerate(calls)]
    return {
        **answer,
        "choices": [{**choice, "delta": {**choice["message"], "tool_calls": numbered}}],
    }


def _call(call: dict[str, Any]) -> CallPiece:
    function = call.get("function") or {}
    arguments = function.get("arguments") or ""
    return CallPiece(call["index"], call.get("id"), function.get("name"), arguments)
