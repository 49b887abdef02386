"""GET /v1/models and /v1/models/{name}"""

from fastapi import Response

from gateway.http.replies import JsonReply
from gateway.models.served_models import ServedModels


class ModelsEndpoint:
    def __init__(self, models: ServedModels) -> None:
        self._models = models

    async def list(self) -> Response:
        """A card for every name of every model."""
        cards = [
            card
            for model in self._models
            for card in model.names.cards(model.workers.max_model_len)
        ]
        return JsonReply({"object": "list", "data": cards})

    async def one(self, name: str) -> Response:
        model = self._models.named(name)
        return JsonReply(model.names.card(name, model.workers.max_model_len))
