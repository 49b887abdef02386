"""Where an answer is told."""

from collections.abc import AsyncGenerator
from typing import Protocol

from baton.engine.work import EngineEvent
from baton.v1 import decode_pb2 as pb


class Outlet(Protocol):
    """`put` is a sink of the engine's, on the loop."""

    def say(self, response: pb.GenerateResponse) -> None:
        """Behind what was said before, and before what is put later."""
        ...

    def put(self, event: EngineEvent) -> None: ...

    def own(self) -> AsyncGenerator[pb.GenerateResponse, None]:
        """What is left for the caller to tell of what is put; ends behind WorkDone. Raises the error of
        WorkFailed.
        """
        ...
