"""GET /v1/models and /v1/models/{name}"""

from fastapi import Response

from gateway.model_names import ModelNames
from gateway.replies import JsonReply
from gateway.workers import Workers


class ModelsEndpoint:
    def __init__(self, names: ModelNames, workers: Workers) -> None:
        self._names = names
        self._workers = workers

    async def list(self) -> Response:
        cards = self._names.cards(self._workers.max_model_len)
        return JsonReply({"object": "list", "data": cards})

    async def one(self, name: str) -> Response:
        return JsonReply(self._names.card(name, self._workers.max_model_len))
