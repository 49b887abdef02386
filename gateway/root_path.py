"""The path as the routes name it: without a proxy's prefix, and without a slash at its end."""

from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """ASGI middleware. The proxy may strip the prefix or leave it: the same routes answer. So they do
    with a slash at the end, which would else be a redirection that proxies and clients get wrong.
    """

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app = app
        self._root = root.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            inside = without(self._root, scope["path"]).rstrip("/") or "/"
            scope = {**scope, "root_path": self._root, "path": self._root + inside}
        await self._app(scope, receive, send)


def path_of(scope: Scope) -> str:
    """As the routes name it."""
    return without(scope.get("root_path", ""), scope["path"])


def without(root: str, path: str) -> str:
    behind = path.removeprefix(root)
    return behind if behind.startswith("/") or not behind else path
