"""The bodies of requests, and which model each is for."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from starlette.requests import Request

from gateway.http.auth import visit_of
from gateway.http.body import json_body
from gateway.http.request_scope import adopt_model, adopt_request_id
from gateway.models.served_model import ServedModel
from gateway.models.served_models import ServedModels
from gateway.params.priority_rule import PriorityRule
from gateway.schema.common import ModelRequest
from gateway.schema.parse import parse, refuse_unknown
from gateway.schema.routing_fields import RoutingFields

R = TypeVar("R", bound=ModelRequest)
T = TypeVar("T")

LARGE_BODY = 100_000  # bytes; from here on a thread keeps the event loop free


class Intake:
    """What is refused here is refused whatever the model is, before one is looked for."""

    def __init__(
        self,
        models: ServedModels,
        priorities: PriorityRule,
        *,
        strict_fields: bool,
        max_body_bytes: int,
        reads_images: bool,
        stall: float,
    ) -> None:
        """`reads_images`: some model does. `stall`: seconds that a client may send nothing."""
        self._models = models
        self._priorities = priorities
        self._strict = strict_fields
        self._max_body_bytes = max_body_bytes
        self._reads_images = reads_images
        self._stall = stall

    async def read(self, kind: type[R], request: Request) -> tuple[R, ServedModel]:
        """Raises RequestError for a body that is none, NotFoundError for a model that is not served."""
        asked = await self.read_by(partial(parse, kind), request)
        if isinstance(asked, RoutingFields):
            adopt_request_id(request, asked.request_id)  # so that an error has it as well
            self._priorities.check(asked.priority)
        return asked, self.choose(request, asked.model, asked.unknown_fields())

    async def read_by(
        self, parse: Callable[[bytes], T], request: Request, image_field: str = "messages"
    ) -> T:
        """What `parse` makes of the body. `image_field`: where its images come."""
        field = image_field if self._reads_images else None
        body = await json_body(request, self._max_body_bytes, self._stall, image_field=field)
        if len(body) < LARGE_BODY:
            return parse(body)
        return await asyncio.to_thread(parse, body)

    def choose(self, request: Request, name: str | None, unknown: list[str]) -> ServedModel:
        """The model of that name; from here on the request counts as its own. `unknown`: fields that
        the API does not have.
        """
        if self._strict:
            refuse_unknown(unknown)
        model = self._models.named(name)
        adopt_model(request, model.names.first)
        visit_of(request).metrics = model.metrics.tenants
        return model
