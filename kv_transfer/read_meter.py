"""What reading other workers' pools took, by the data plane that did it."""

import threading
from dataclasses import dataclass, field

from baton.telemetry.distribution import Distribution, Observations
from baton.telemetry.worker_families import READ_BYTES, READ_SECONDS


@dataclass(frozen=True, slots=True)
class PlaneReading:
    """Of one data plane; only grows."""

    bytes: Distribution  # of reads that were done
    seconds: Distribution
    failed: int


@dataclass(slots=True)
class _Plane:
    bytes: Observations = field(default_factory=lambda: Observations(READ_BYTES))
    seconds: Observations = field(default_factory=lambda: Observations(READ_SECONDS))
    failed: int = 0


class ReadMeter:
    """Called from every peer's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planes: dict[str, _Plane] = {}

    def done(self, transport: str, num_bytes: int, seconds: float) -> None:
        """All of them have landed."""
        with self._lock:
            plane = self._plane(transport)
            plane.bytes.see(num_bytes)
            plane.seconds.see(seconds)

    def failed(self, transport: str) -> None:
        with self._lock:
            self._plane(transport).failed += 1

    def reading(self, transport: str) -> PlaneReading:
        with self._lock:
            plane = self._plane(transport)
            return PlaneReading(plane.bytes.reading(), plane.seconds.reading(), plane.failed)

    def _plane(self, transport: str) -> _Plane:
        return self._planes.setdefault(transport, _Plane())
