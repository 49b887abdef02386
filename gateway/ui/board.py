"""The cluster at this moment, put together for whoever looks."""

import time
from collections.abc import Callable

from baton import __version__
from gateway.recent_requests import RecentRequests
from gateway.ui.cluster_state import link_status, priority_status, worker_status
from gateway.ui.throughput import Throughput
from gateway.workers import Workers

FRESH = 0.25  # seconds that several onlookers see the same of the cluster


class Board:
    """Costs nothing while nobody looks."""

    def __init__(
        self, workers: Workers, queued: Callable[[], int], recent: RecentRequests, model: str
    ) -> None:
        """`queued`: parts of requests that wait for room. `model`: as clients call it."""
        self._workers = workers
        self._queued = queued
        self._recent = recent
        self._model = model
        self._throughput = Throughput()
        self._glanced: dict[str, object] = {}
        self._looked = -FRESH

    def glance(self, root: str) -> dict[str, object]:
        """`state`, for those who look again and again: what is of the cluster may be a moment old."""
        now = time.monotonic()
        if now - self._looked >= FRESH:
            self._looked, self._glanced = now, self.cluster()
        return self._with_requests(self._glanced, root)

    def state(self, root: str) -> dict[str, object]:
        """With the latest requests of one API key, the newest first; `root` as blocks' hashes have it."""
        return self._with_requests(self.cluster(), root)

    def _with_requests(self, cluster: dict[str, object], root: str) -> dict[str, object]:
        requests = [trail.told() for trail in self._recent.shown(root)]
        return {"now": round(1000 * time.time()), **cluster, "requests": requests}

    def cluster(self) -> dict[str, object]:
        """What every onlooker may see: no request by itself."""
        now = time.monotonic()
        workers = self._workers.all()
        totals = {w.info.instance_id: w.load.steps for w in workers if w.load is not None}
        rates = self._throughput.rates(totals, now)
        return {
            "model": self._model,
            "version": __version__,
            "takes_requests": self._workers.can_answer,
            "trouble": self._workers.trouble,
            "workers": [worker_status(worker, rates) for worker in workers],
            "links": link_status(self._workers.learned.traffic, workers, now),
            "queued": self._queued(),
            "refused": self._recent.refused,
            "priorities": priority_status(self._recent.by_priority()),
        }
