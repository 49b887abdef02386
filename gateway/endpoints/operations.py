"""GET /health, /version, /load, /metrics and /status: for those who run the cluster."""

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST

from baton import __version__
from gateway.dispatch import Dispatcher
from gateway.doorway import Crowd
from gateway.errors import RETRY_SOON, NoRoomError
from gateway.metrics import GatewayMetrics
from gateway.replies import JsonReply
from gateway.worker import Worker
from gateway.workers import Workers


class OperationsEndpoint:
    def __init__(
        self,
        workers: Workers,
        dispatcher: Dispatcher,
        metrics: GatewayMetrics,
        crowd: Crowd,
        model: str,
    ) -> None:
        self._workers = workers
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._crowd = crowd
        self._model = model

    async def health(self) -> Response:
        """Empty while a request could be answered now."""
        if not self._workers.can_answer:
            reasons = ("No worker takes requests.", self._workers.trouble)
            raise NoRoomError(" ".join(filter(None, reasons)), RETRY_SOON)
        return Response(status_code=200)

    async def version(self) -> Response:
        return JsonReply({"version": __version__})

    async def load(self) -> Response:
        """Requests that are being answered."""
        return JsonReply({"server_load": self._crowd.inside})

    async def metrics(self) -> Response:
        return Response(self._metrics.page(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def status(self) -> Response:
        workers = [worker_status(worker) for worker in self._workers.all()]
        queued = self._dispatcher.queued
        return JsonReply({"model": self._model, "workers": workers, "queued": queued})


def worker_status(worker: Worker) -> dict[str, object]:
    """`state` is the worker's own, or `unusable`, or `unreachable`; numbers may be null. `next_role`
    is what a worker drains for.
    """
    info, load = worker.info, worker.load
    return {
        "id": info.worker_id,
        "role": info.role.value,
        "state": _state(worker),
        "next_role": load.next_role.value if load and load.next_role else None,
        "reason": worker.unusable,
        "pid": info.pid,
        "restarts": worker.restarts,
        "flips": info.flips,
        "address": info.address,
        "metrics_url": info.metrics_url,
        "model": info.model,
        "labels": dict(info.labels),
        "running": load.running if load else None,
        "waiting": load.waiting if load else None,
        "kv_usage": load.kv_usage if load else None,
        "free_blocks": load.free_blocks if load else None,
        "total_blocks": load.total_blocks if load else None,
        "leased_blocks": load.leased_blocks if load else None,
        "reserved_blocks": load.reserved_blocks if load else None,
    }


def _state(worker: Worker) -> str:
    if worker.unusable is not None:
        return "unusable"
    return worker.load.state.value if worker.load else "unreachable"
