"""The phases of reading a prompt, by the engine's events."""

from typing import TYPE_CHECKING

from baton.engine.work import Admitted, EngineEvent, TokensDrawn, WorkDone

if TYPE_CHECKING:
    from baton.telemetry.lane import Lane


class ReadingTrace:
    """`prefill.queue` until the engine takes the prompt up, `prefill.compute` until it has drawn the
    first tokens, then whatever is called `after`.
    """

    def __init__(self, lane: "Lane", after: str) -> None:
        self._lane = lane
        self._after = after
        self._read = False
        lane.turn("prefill.queue")

    def hear(self, event: EngineEvent) -> None:
        """In the order in which the engine says it, on the thread of the lane."""
        if self._read:
            return
        match event:
            case Admitted(num_cached_tokens):
                span = self._lane.turn("prefill.compute")
                span.set({"baton.cached_tokens": num_cached_tokens})
            case TokensDrawn() | WorkDone():
                self._read = True
                self._lane.turn(self._after)
