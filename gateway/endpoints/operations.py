"""GET /health, /version, /load, /metrics and /status: for those who run the cluster."""

from fastapi import Response

from baton import __version__
from baton.telemetry.exposition import CONTENT_TYPE
from gateway.errors import RETRY_SOON, NoRoomError
from gateway.http.doorway import Crowd
from gateway.http.replies import JsonReply
from gateway.models.served_models import ServedModels
from gateway.telemetry.metrics import GatewayMetrics
from gateway.ui.board import Board


class OperationsEndpoint:
    def __init__(
        self,
        models: ServedModels,
        board: Board,
        metrics: GatewayMetrics,
        crowd: Crowd,
    ) -> None:
        self._models = models
        self._board = board
        self._metrics = metrics
        self._crowd = crowd

    async def health(self, model: str = "") -> Response:
        """Empty while a request could be answered now: one for some model, or for the one named."""
        asked = self._models.named(model).workers if model else self._models
        if not asked.can_answer:
            reasons = ("No worker takes requests.", asked.trouble)
            raise NoRoomError(" ".join(filter(None, reasons)), RETRY_SOON)
        return Response(status_code=200)

    async def version(self) -> Response:
        return JsonReply({"version": __version__})

    async def load(self) -> Response:
        """Requests that are being answered."""
        return JsonReply({"server_load": self._crowd.inside})

    async def metrics(self) -> Response:
        return Response(self._metrics.page(), headers={"content-type": CONTENT_TYPE})

    async def status(self) -> Response:
        return JsonReply({**self._board.cluster(), "model": self._models.first.names.root})
