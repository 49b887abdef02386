"""How much of the prompts that are here is still to be computed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from baton.engine.work import ChunkComputed, EngineEvent


class Backlog:
    """Of prompts that are read here to be handed over."""

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
            if isinstance(event, ChunkComputed) and key in self._unread:
                self._unread[key] = num_tokens - event.num_tokens

        try:
            yield note
        finally:
            del self._unread[key]
