"""What one prompt has met on its way through the cluster, for whoever looks at it. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from gateway.admission.shares import Bill
from gateway.placing.forecast import Forecast
from gateway.reading import Reading

T = TypeVar("T")

MOST_STEPS = 32  # placements, and likewise incidents, that are remembered of one prompt


class Phase(StrEnum):
    QUEUED = "queued"  # it waits for room
    PREFILL = "prefill"  # placed, no token yet
    DECODE = "decode"
    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"  # its client went away


@dataclass(frozen=True, slots=True)
class Placed:
    """Times are seconds on the clock of `Trail.began`. What it refers to changes as the request goes on."""

    waits_from: float
    at: float
    reading: Reading
    forecast: Forecast | None  # None: its prompt is read for another router


@dataclass(frozen=True, slots=True)
class Incident:
    at: float
    what: (
        str  # a word: why something broke, or `moved` or `continued`, with tokens at another worker
    )
    worker: str


@dataclass(slots=True, eq=False)
class Trail:
    number: int  # of this gateway; only grows
    request_id: str  # as the client knows it
    model: str  # likewise
    root: str  # of the API key that may see it
    priority: int
    prompt_tokens: int
    choices: int
    bill: Bill  # has the tokens so far, and the tenant
    began: float  # monotonic seconds
    began_at: float  # seconds since 1970
    placed: list[Placed] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    finish_reasons: tuple[str, ...] = ()  # one per choice, once all have ended
    error: str = ""  # as its client was told
    ended: float | None = None
    _outcome: Phase = Phase.DONE
    _waiting: int = 0
    _last_told: dict[str, object] | None = None  # once nothing of it changes any more

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """For room. Parts of a request may wait side by side."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def place(
        self, waits_from: float, now: float, reading: Reading, forecast: Forecast | None = None
    ) -> None:
        at = now if forecast is None else forecast.placed_at
        _append(self.placed, Placed(waits_from, at, reading, forecast))

    def met(self, at: float, what: str, worker: str) -> None:
        _append(self.incidents, Incident(at, what, worker))

    def end(self, at: float, outcome: Phase, error: str = "") -> None:
        """What has all of its choices is done, whatever came after them."""
        self.ended = at
        self._outcome = Phase.DONE if self.finish_reasons else outcome
        self.error = "" if self.finish_reasons else error

    @property
    def phase(self) -> Phase:
        if self.ended is not None:
            return self._outcome
        if self.bill.written:
            return Phase.DECODE
        return Phase.QUEUED if self._waiting or not self.placed else Phase.PREFILL

    def told(self) -> dict[str, object]:
        """Milliseconds since it came, but for `began_at`: those since 1970. Of what still goes on the
        end is null.
        """
        if self._last_told is not None:
            return self._last_told
        told = self._written()
        if self.ended is not None:
            self._last_told = told
        return told

    def _written(self) -> dict[str, object]:
        return {
            "number": self.number,
            "id": self.request_id,
            "model": self.model,
            "tenant": self.bill.tenant,
            "priority": self.priority,
            "phase": self.phase.value,
            "began_at": round(1000 * self.began_at),
            "ended_ms": self._ms(self.ended),
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.placed[0].reading.cached_tokens if self.placed else None,
            "tokens": self.bill.written,
            "choices": self.choices,
            "finish_reasons": list(self.finish_reasons),
            "error": self.error,
            "placements": [self._placement(one) for one in self.placed],
            "incidents": [
                {"ms": self._ms(one.at), "what": one.what, "worker": one.worker}
                for one in self.incidents
            ],
        }

    def _placement(self, placed: Placed) -> dict[str, object]:
        reading, forecast = placed.reading, placed.forecast
        admitted = first = last = predicted = itl = None
        if forecast is not None:
            actual, predicted, itl = forecast.actual, forecast.predicted, forecast.itl
            admitted, first, last = actual.admitted, actual.ttft, actual.last
        return {
            "encode_worker": reading.encode_worker,
            "prefill_worker": reading.prefill_worker,
            "decode_worker": reading.decode_worker,
            "prefix_from": reading.prefix_from if reading.prefix else None,
            "reason": reading.reason,
            "queued_ms": self._ms(placed.waits_from),
            "placed_ms": self._ms(placed.at),
            "admitted_ms": self._ms_behind(placed, admitted),
            "first_ms": self._ms_behind(placed, first),
            "last_ms": self._ms_behind(placed, last),
            "transfer": self._transfer(placed),
            "itl_ms": None if itl is None else round(1000 * itl, 1),
            "predicted_ttft_ms": None if predicted is None else round(1000 * predicted.ttft, 1),
            "predicted_itl_ms": None if predicted is None else round(1000 * predicted.itl, 1),
        }

    def _transfer(self, placed: Placed) -> dict[str, object] | None:
        """From the first blocks that were ready to the confirmation, which is when it was heard of."""
        moved, forecast = placed.reading.transfer, placed.forecast
        heard = forecast.actual.transferred if forecast is not None else None
        if moved is None or heard is None:
            return None
        end = placed.at + heard
        start = max(placed.at, end - moved.milliseconds / 1000)
        return {
            "start_ms": self._ms(start),
            "end_ms": self._ms(end),
            "exposed_ms": round(moved.exposed_ms, 1),
            "bytes": moved.bytes,
            "tokens": moved.tokens,
            "transport": moved.transport,
        }

    def _ms_behind(self, placed: Placed, seconds: float | None) -> float | None:
        return None if seconds is None else self._ms(placed.at + seconds)

    def _ms(self, at: float | None) -> float | None:
        return None if at is None else round(1000 * (at - self.began), 1)


def _append(steps: list[T], step: T) -> None:
    """The last one is always there: it is what became of the request."""
    if len(steps) == MOST_STEPS:
        steps.pop()
    steps.append(step)
