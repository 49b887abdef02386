"""How much of the prompts that are here is still to be computed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from baton.engine.work import Admitted, ChunkComputed, EngineEvent, TokensDrawn


class Backlog:
    """Of prompts that are read here, whoever writes the answer."""

    def __init__(self) -> None:
        self._unread: dict[str, int] = {}  # tokens, by the work's key

    @property
    def tokens(self) -> int:
        return sum(self._unread.values())

    @contextmanager
    def reading(self, key: str, num_tokens: int) -> Iterator[Callable[[EngineEvent], None]]:
        """Gives what is to be told of the work's events."""
        self._unread[key] = num_tokens

        def note(event: EngineEvent) -> None:
            if key not in self._unread:
                return
            match event:
                case Admitted(num_cached_tokens):
                    self._unread[key] = num_tokens - num_cached_tokens
                case ChunkComputed(computed):
                    self._unread[key] = num_tokens - computed
                case TokensDrawn():
                    self._unread[key] = 0

        try:
            yield note
        finally:
            del self._unread[key]
