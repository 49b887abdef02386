"""A sink that a test can wait on."""

import threading
from collections.abc import Callable

from baton.core.token_record import TokenRecord
from baton.engine.work import BlocksLent, EngineEvent, TokensDrawn, WorkDone, WorkFailed

PATIENCE = 20.0  # seconds; a bound, never a pace


class EventLog:
    """Pass the object itself as the sink."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []
        self._changed = threading.Condition()

    def __call__(self, event: EngineEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(
        self, done: Callable[[list[EngineEvent]], bool], patience: float = PATIENCE
    ) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: done(self.events), patience):
                raise AssertionError(f"did not come; what came: {self.events}")

    def wait_for_end(self, patience: float = PATIENCE) -> EngineEvent:
        """WorkDone or WorkFailed."""
        ends = WorkDone | WorkFailed
        self.wait_for(lambda events: any(isinstance(e, ends) for e in events), patience)
        return self.events[-1]

    def wait_for_tokens(self, count: int = 1) -> None:
        self.wait_for(lambda _: len(self.records()) >= count)

    def records(self, choice: int | None = None) -> tuple[TokenRecord, ...]:
        return tuple(
            record
            for event in self.events
            if isinstance(event, TokensDrawn)
            for record in event.records
            if choice is None or record.choice == choice
        )

    def lent(self) -> tuple[int, ...]:
        """The blocks lent, () before that."""
        return next((e.blocks for e in self.events if isinstance(e, BlocksLent)), ())
