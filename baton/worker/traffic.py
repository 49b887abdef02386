"""What hand-offs moved into this worker so far; only grows."""

from collections import Counter

from baton.telemetry.distribution import Durations
from kv_transfer.pulling import Pulled

# Seconds: a megabyte in shared memory takes one or two milliseconds, a long prompt over a slow
# network minutes.
BOUNDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
PULLED, FAILED = "pulled", "pull_failed"


class Traffic:
    def __init__(self) -> None:
        self.bytes = 0
        self.seconds = Durations(BOUNDS)
        self.exposed = Durations(BOUNDS)
        self.results = Counter({PULLED: 0, FAILED: 0})  # told before the first of each, for rates

    def pulled(self, pulled: Pulled) -> None:
        self.bytes += pulled.bytes
        self.seconds.see(pulled.timing.total_ms / 1000)
        self.exposed.see(pulled.timing.exposed_ms / 1000)
        self.results[PULLED] += 1

    def failed(self) -> None:
        self.results[FAILED] += 1
