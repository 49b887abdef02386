"""What hand-offs moved into this worker so far; only grows."""

from collections import Counter

from baton.telemetry.distribution import Observations
from baton.telemetry.worker_families import TRANSFER_SECONDS
from kv_transfer.pulling import Pulled

PULLED, FAILED = "pulled", "pull_failed"


class Traffic:
    def __init__(self) -> None:
        self.bytes = 0
        self.asked_tokens = 0  # whose KV another worker was to send
        self.tokens = 0  # of them those that came
        self.seconds = Observations(TRANSFER_SECONDS)
        self.exposed = Observations(TRANSFER_SECONDS)
        self.results = Counter({PULLED: 0, FAILED: 0})  # told before the first of each, for rates

    def asked(self, num_tokens: int) -> None:
        """Of a hand-off that begins."""
        self.asked_tokens += num_tokens

    def pulled(self, pulled: Pulled) -> None:
        self.bytes += pulled.bytes
        self.tokens += pulled.num_tokens - pulled.held_tokens
        self.seconds.see(pulled.timing.total_ms / 1000)
        self.exposed.see(pulled.timing.exposed_ms / 1000)
        self.results[PULLED] += 1

    def failed(self) -> None:
        self.results[FAILED] += 1
