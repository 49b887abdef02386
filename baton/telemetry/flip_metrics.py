"""Changes of a worker's role, counted by what came of them."""

from prometheus_client import CollectorRegistry, Counter

from baton.core.worker_info import Role

DONE, CALLED_OFF, OVERTAKEN = RESULTS = ("done", "called_off", "overtaken")


class FlipCounter:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = Counter(
            "baton_role_flips",
            "Changes of this worker's role that were asked for: done, called off, or overtaken by "
            "its end.",
            ("from", "to", "result"),
            registry=registry,
        )
        for role in Role:
            for result in RESULTS:
                self._counter.labels(role.value, role.other.value, result)

    def count(self, role: Role, result: str) -> None:
        """`role` is the one that it had."""
        self._counter.labels(role.value, role.other.value, result).inc()
