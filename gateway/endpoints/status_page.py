"""GET /ui: the status page, its files, and the state that it shows."""

from fastapi import Request, Response

from baton.core.errors import NotFoundError
from gateway.http.auth import tenant_of
from gateway.http.replies import JsonReply
from gateway.http.sse import EventStream
from gateway.ui.assets import HEADERS, INDEX, load_assets
from gateway.ui.board import Board
from gateway.ui.feed import Feed

NO_STORE = {"cache-control": "no-store"}
END = b""  # of a stream that only a stop of the server ends


class StatusPageEndpoint:
    def __init__(self, board: Board, feed: Feed, stall: float) -> None:
        """`stall`: seconds that a client may read nothing."""
        self._board = board
        self._feed = feed
        self._stall = stall
        self._assets = load_assets()

    async def page(self, request: Request) -> Response:
        """Below /ui/, where the names in it lead to its files, whatever prefix a proxy shows."""
        if not request.scope["raw_path"].endswith(b"/"):
            return Response(status_code=307, headers={**HEADERS, "location": "ui/"})
        return self._file(request, INDEX)

    async def file(self, request: Request, name: str) -> Response:
        return self._file(request, name)

    async def state(self, request: Request) -> Response:
        """Of the cluster, and of the requests of the same API key."""
        return JsonReply(self._board.state(tenant_of(request)), headers=NO_STORE)

    async def events(self, request: Request) -> Response:
        """The same as it changes: at most twice a second, and only what is new."""
        root = tenant_of(request)
        events = self._feed.events(lambda: self._board.glance(root))
        return EventStream(events, NO_STORE, self._stall, end=END)

    def _file(self, request: Request, name: str) -> Response:
        asset = self._assets.get(name)
        if asset is None or (name == INDEX) != _asks_for_page(request):
            raise NotFoundError(f"There is no {name!r} here.")
        if request.headers.get("if-none-match") == asset.tag:
            return Response(status_code=304, headers={**HEADERS, "etag": asset.tag})
        return Response(asset.content, headers=asset.headers)


def _asks_for_page(request: Request) -> bool:
    return "name" not in request.path_params
