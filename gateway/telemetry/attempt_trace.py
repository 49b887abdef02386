"""The spans of one attempt: what the gateway waits for, and beneath it what the workers do."""

import time
from typing import TYPE_CHECKING

from baton.telemetry.call_trace import failure_of
from gateway.reading import Reading
from gateway.telemetry.request_trace import RequestTrace

if TYPE_CHECKING:
    from baton.telemetry.lane import Lane
    from baton.telemetry.tracing import Metadata


class AttemptTrace:
    """`reserve` until the decode worker has room, `prefill` until the first token, `decode` until the
    last one. They fill the attempt. The decode worker's span lies below the attempt, because it lasts
    through all of them; the prefill worker's below `prefill`.
    """

    def __init__(
        self, trace: RequestTrace, lane: "Lane", number: int, job_id: str, takes_over: bool
    ) -> None:
        """`lane`: whose next phase this is."""
        self._trace = trace
        self._lane = lane
        self._span = lane.open("attempt")
        self._inner = self._span.lane(lane.reached)
        self._phase = "reserve"
        self._inner.open(self._phase)
        self._span.set({"baton.attempt": number, "baton.job": job_id, "baton.move": takes_over})

    @property
    def metadata(self) -> "Metadata":
        """For the call to the decode worker."""
        return self._span.metadata()

    def reserved(self) -> "Metadata":
        """For the call to the prefill worker."""
        return self._turn("prefill")

    def began(self) -> None:
        """The first token can be given out."""
        self._turn("decode")

    def end(self, reading: Reading, error: BaseException | None = None) -> None:
        """Once; what comes later is ignored."""
        if self._span.is_over:
            return
        said, now = failure_of(error), time.monotonic()
        self._shut(now, said)
        self._lane.shut(_told(reading), said, at=now)

    def _turn(self, phase: str) -> "Metadata":
        self._shut(time.monotonic())
        self._phase = phase
        return self._inner.open(phase).metadata()

    def _shut(self, at: float, error: str | None = None) -> None:
        began = self._inner.reached
        self._inner.shut(error=error, at=at)
        self._trace.spent(self._phase, self._inner.reached - began)


def _told(reading: Reading) -> dict[str, str | int | float]:
    moved, prefix, images = reading.transfer, reading.prefix, reading.images
    told = {
        "baton.encode_worker": reading.encode_worker,
        "baton.images.ms": images.milliseconds if images else None,
        "baton.prefill_worker": reading.prefill_worker,
        "baton.decode_worker": reading.decode_worker,
        "baton.placement.reason": reading.reason,
        "baton.cached_tokens": reading.cached_tokens,
        "baton.prefix.from": reading.prefix_from if prefix else None,
        "baton.prefix.tokens": prefix.tokens if prefix else None,
        "baton.transfer.exposed_ms": moved.exposed_ms if moved else None,
    }
    return {name: value for name, value in told.items() if value is not None}
