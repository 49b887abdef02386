"""A chat of several turns with the cluster, whoever types it."""

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol


class Endpoint(Protocol):
    def events(self, path: str, body: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
        """Of a streamed answer. Raises UnavailableError where it breaks off."""
        ...


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What is sent with every turn; "" and None leave it to the server."""

    model: str = ""
    system: str = ""
    max_tokens: int | None = None
    temperature: float | None = None

    @property
    def fields(self) -> dict[str, Any]:
        fields = {
            "model": self.model or None,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }
        return {name: value for name, value in fields.items() if value is not None}


class Conversation:
    def __init__(self, endpoint: Endpoint, options: ChatOptions) -> None:
        self._endpoint = endpoint
        self._options = options
        self.cut_off = False  # the last answer ended for its length
        self.clear()

    def clear(self) -> None:
        """The next turn is the first again."""
        system = self._options.system
        self.messages = [{"role": "system", "content": system}] if system else []

    def ask(self, text: str) -> Generator[str, None, None]:
        """The answer, piece by piece. As much of it as was read joins the conversation, together
        with the question, however it ended; close the generator to stop the answer.
        """
        self.cut_off = False
        messages = [*self.messages, {"role": "user", "content": text}]
        body = {"messages": messages, "stream": True, **self._options.fields}
        answer = ""
        try:
            with closing(self._endpoint.events("/v1/chat/completions", body)) as events:
                for event in events:
                    piece = self._piece(event)
                    answer += piece
                    if piece:
                        yield piece
        finally:
            if answer:
                self.messages = [*messages, {"role": "assistant", "content": answer}]

    def _piece(self, event: dict[str, Any]) -> str:
        if not event["choices"]:  # the one with the usage
            return ""
        choice = event["choices"][0]
        self.cut_off |= choice.get("finish_reason") == "length"
        return choice["delta"].get("content") or ""
