"""Responses by id: those that are being written, and those that are kept."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from baton.core.errors import NotFoundError, RequestError
from gateway.json_text import to_json
from gateway.schema.response_items import Item
from gateway.translations.response_store import Kept, ResponseStore
from gateway.translations.responses_answer import Response
from gateway.translations.responses_request import ChatMessage, messages_of
from gateway.translations.responses_stream import ResponseStream

GOES_ON = ("completed", "incomplete")
_ITEMS: TypeAdapter[list[Item]] = TypeAdapter(list[Item])


@dataclass(slots=True)
class Running:
    stream: ResponseStream
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def response(self) -> Response:
        response = self.stream.response
        return response | ({"status": "cancelled"} if self.cancelled.is_set() else {})


class ResponseDesk:
    """Every id is looked for among what `tenant` has; NotFoundError tells no more than that."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store
        self._running: dict[tuple[str, str], Running] = {}

    def begin(self, tenant: str, stream: ResponseStream) -> Running:
        """From now on it can be read and cancelled, until `end`."""
        running = Running(stream)
        self._running[tenant, stream.response["id"]] = running
        return running

    def end(self, tenant: str, response_id: str) -> None:
        self._running.pop((tenant, response_id), None)

    def keep(self, tenant: str, response: Response, before: list[ChatMessage]) -> Response:
        """`before`: the messages that it answers. `store` of what is returned says whether there
        was room for it.
        """
        messages = [*before, *messages_of(_ITEMS.validate_python(response["output"]))]
        kept = self._store.put(
            tenant,
            response["id"],
            to_json(response).encode(),
            to_json(messages).encode(),
            response["status"],
        )
        return response if kept else {**response, "store": False}

    def conversation(self, tenant: str, response_id: str | None) -> list[ChatMessage]:
        """All messages up to and with this response; none without an id."""
        if response_id is None:
            return []
        param = "previous_response_id"
        running = self._running.get((tenant, response_id))
        kept = None if running else self._kept(tenant, response_id, param)
        status = kept.status if kept else "in_progress"
        if kept is None or kept.status not in GOES_ON:
            raise RequestError(f"response {response_id} is {status}, not completed", param)
        messages: list[ChatMessage] = json.loads(kept.messages)
        return messages

    def get(self, tenant: str, response_id: str) -> Response:
        running = self._running.get((tenant, response_id))
        if running is not None:
            return running.response
        response: dict[str, Any] = json.loads(self._kept(tenant, response_id).response)
        return response

    def cancel(self, tenant: str, response_id: str) -> Response:
        """One that is being written stops; to cancel it again changes nothing."""
        running = self._running.get((tenant, response_id))
        if running is not None:
            running.cancelled.set()
            return running.response
        kept = self._kept(tenant, response_id)
        if kept.status != "cancelled":
            raise RequestError(f"response {response_id} has ended already: it is {kept.status}")
        return self.get(tenant, response_id)

    def delete(self, tenant: str, response_id: str) -> None:
        if not self._store.delete(tenant, response_id):
            raise self._unknown(response_id)

    def _kept(self, tenant: str, response_id: str, param: str = "response_id") -> Kept:
        kept = self._store.get(tenant, response_id)
        if kept is None:
            raise self._unknown(response_id, param)
        return kept

    def _unknown(self, response_id: str, param: str = "response_id") -> NotFoundError:
        return NotFoundError(
            f"There is no response {response_id[:100]!r} here: it was not stored, not by this "
            "gateway, or its time is over.",
            param,
        )
