"""GET /v1/requests/{request_id}/placement: why a request went where it went."""

from fastapi import Request, Response

from baton.core.errors import NotFoundError
from gateway.http.auth import tenant_of
from gateway.http.replies import JsonReply
from gateway.placing.placement_record import PlacementHistory


class PlacementsEndpoint:
    def __init__(self, history: PlacementHistory) -> None:
        self._history = history

    async def one(self, request: Request, request_id: str) -> Response:
        """Of a request of the same API key, by its X-Request-Id."""
        record = self._history.find(tenant_of(request), request_id)
        if record is None:
            raise NotFoundError(
                f"No placement of a request {request_id!r} is known here: it was not placed, or "
                "too many came after it (--placement-history)."
            )
        return JsonReply(record.told())
