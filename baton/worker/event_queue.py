"""One work's events, from the engine's sink to the stream that a handler writes."""

import asyncio
from collections.abc import AsyncIterator

from baton.core.token_record import TokenRecord
from baton.engine.work import (
    Admitted,
    ChoiceLeft,
    EngineEvent,
    PromptScored,
    TokensDrawn,
    WorkDone,
    WorkFailed,
)

Told = Admitted | PromptScored | ChoiceLeft | tuple[TokenRecord, ...]


class TokenQueue:
    """`put` is a sink; `batches` yields the admission, the prompt's scores, what has been drawn since
    and which choices have left behind that.

    It never waits for more than one event, so a batch is as small as the reader is fast. Of a search
    it may be empty: a sign of life.
    """

    def __init__(self) -> None:
        self._events: asyncio.Queue[EngineEvent] = asyncio.Queue()

    def put(self, event: EngineEvent) -> None:
        self._events.put_nowait(event)

    async def batches(self) -> AsyncIterator[Told]:
        """Ends with WorkDone; raises the error of WorkFailed."""
        while True:
            events = [await self._events.get()]
            while not self._events.empty():
                events.append(self._events.get_nowait())
            for told in (e for e in events if isinstance(e, Admitted | PromptScored)):
                yield told
            drawn = [e for e in events if isinstance(e, TokensDrawn)]
            if drawn:
                yield tuple(record for e in drawn for record in e.records)
            for left in (e for e in events if isinstance(e, ChoiceLeft)):
                yield left
            last = events[-1]
            if isinstance(last, WorkFailed):
                raise last.error
            if isinstance(last, WorkDone):
                return
