"""What hand-offs moved into this worker so far; only grows."""

from collections import Counter

from kv_transfer.pulling import Pulled


class Traffic:
    def __init__(self) -> None:
        self.bytes = 0
        self.pulls = 0
        self.seconds = 0.0
        self.results: Counter[str] = Counter()

    def pulled(self, pulled: Pulled) -> None:
        self.bytes += pulled.bytes
        self.pulls += 1
        self.seconds += pulled.milliseconds / 1000
        self.results["pulled"] += 1

    def failed(self) -> None:
        self.results["pull_failed"] += 1
