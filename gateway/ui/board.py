"""The cluster at this moment, put together for whoever looks."""

import time

from baton import __version__
from gateway.models.served_models import ServedModels
from gateway.telemetry.recent_requests import RecentRequests
from gateway.ui.cluster_state import link_status, model_status, priority_status, worker_status
from gateway.ui.throughput import Throughput

FRESH = 0.25  # seconds that several onlookers see the same of the cluster


class Board:
    """Costs nothing while nobody looks."""

    def __init__(self, models: ServedModels, recent: RecentRequests) -> None:
        self._models = models
        self._recent = recent
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
        crews = [model.workers.all() for model in self._models]
        workers = [worker for crew in crews for worker in crew]
        totals = {w.info.instance_id: w.load.steps for w in workers if w.load is not None}
        rates = self._throughput.rates(totals, now)
        told = [
            worker_status(worker, model.names.first, rates)
            for model, crew in zip(self._models, crews, strict=True)
            for worker in crew
        ]
        links = [
            link
            for model, crew in zip(self._models, crews, strict=True)
            for link in link_status(model.workers.learned.traffic, crew, now)
        ]
        models = [model_status(model) for model in self._models]
        return {
            "model": self._models.first.names.first,
            "models": models,
            "version": __version__,
            "takes_requests": self._models.can_answer,
            "trouble": self._models.trouble,
            "workers": told,
            "links": links,
            "queued": sum(model.dispatcher.queued for model in self._models),
            "refused": self._recent.refused,
            "priorities": priority_status(self._recent.by_priority()),
        }
