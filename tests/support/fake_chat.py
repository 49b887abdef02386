"""A scripted fake chat: answers as the chat endpoint writes them, whole and in chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

HEAD = {"id": "chatcmpl-fake", "created": 1, "model": "fake"}


@dataclass(frozen=True)
class FakeCall:
    name: str
    arguments: Sequence[str]  # fragments


@dataclass(frozen=True)
class FakeChat:
    """Fragments of each part; every fragment is a token of its own where `logprobs` are asked."""

    reasoning: Sequence[str] = ()
    content: Sequence[str] = ()
    calls: Sequence[FakeCall] = ()
    finish: str = "stop"
    stop_reason: str | int | None = None
    logprobs: bool = False
    cached: int | None = None

    @property
    def usage(self) -> dict[str, Any]:
        completion = len(self.reasoning) + len(self.content) + len(self.calls) + 1
        usage: dict[str, Any] = {
            "prompt_tokens": 20,
            "completion_tokens": completion,
            "total_tokens": 20 + completion,
            "completion_tokens_details": {"reasoning_tokens": len(self.reasoning)},
        }
        if self.cached is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached}
        return usage

    def whole(self) -> dict[str, Any]:
        reasoning = "".join(self.reasoning) or None
        message = {
            "role": "assistant",
            "content": "".join(self.content) or (None if self.calls else ""),
            "refusal": None,
            "tool_calls": [_call(i, c) for i, c in enumerate(self.calls)],
            "reasoning": reasoning,
            "reasoning_content": reasoning,
        }
        entries = [entry for delta in self._deltas() for entry in self._entries(delta)]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": {"content": entries} if self.logprobs else None,
            "finish_reason": self.finish,
            "stop_reason": self.stop_reason,
        }
        return {**HEAD, "object": "chat.completion", "choices": [choice], "usage": self.usage}

    def chunks(self) -> list[dict[str, Any]]:
        """The last delta comes together with the finish reason, the usage in a chunk of its own."""
        deltas = [{"role": "assistant", "content": ""}, *self._deltas()]
        last = len(deltas) - 1
        chunks = [self._chunk(delta, i == last) for i, delta in enumerate(deltas)]
        return [*chunks, _head(choices=[], usage=self.usage)]

    def _chunk(self, delta: dict[str, Any], last: bool) -> dict[str, Any]:
        entries = self._entries(delta)
        choice: dict[str, Any] = {
            "index": 0,
            "delta": delta,
            "logprobs": {"content": entries} if entries else None,
            "finish_reason": self.finish if last else None,
        }
        if last:
            choice["stop_reason"] = self.stop_reason
        return _head(choices=[choice])

    def _deltas(self) -> list[dict[str, Any]]:
        deltas: list[dict[str, Any]] = [
            {"reasoning": text, "reasoning_content": text} for text in self.reasoning
        ]
        deltas += [{"content": text} for text in self.content]
        for index, call in enumerate(self.calls):
            first = {"index": index, "id": f"call-{index}", "type": "function"}
            deltas.append({"tool_calls": [{**first, "function": {"name": call.name}}]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
                for text in call.arguments
            ]
        return deltas

    def _entries(self, delta: dict[str, Any]) -> list[dict[str, Any]]:
        text = delta.get("reasoning") or delta.get("content")
        if not self.logprobs or not text:
            return []
        raw = list(text.encode())
        return [{"token": text, "logprob": -1.0, "bytes": raw, "top_logprobs": []}]


def _head(**fields: Any) -> dict[str, Any]:
    return {**HEAD, "object": "chat.completion.chunk", **fields}


def _call(index: int, call: FakeCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": "".join(call.arguments)}
    return {"id": f"call-{index}", "type": "function", "function": function}


_texts = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=4), max_size=4)
_calls = st.builds(
    FakeCall,
    st.sampled_from(["f", "g"]),
    st.sampled_from([(), ("{}",), ('{"a"', ": 1", "}"), ('{"city": "東', '京"}'), ('{"cut": "o',)]),
)
fake_chats = st.builds(
    FakeChat,
    reasoning=_texts,
    content=_texts,
    calls=st.lists(_calls, max_size=3),
    finish=st.sampled_from(["stop", "length", "tool_calls"]),
    stop_reason=st.sampled_from([None, "END", 7]),
    logprobs=st.booleans(),
    cached=st.sampled_from([None, 0, 16]),
)
