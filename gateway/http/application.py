"""The framework's application, without what nothing here needs of it."""

from fastapi import FastAPI
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp


class Application(FastAPI):
    """Around the routes is what turns errors into answers, and nothing else: each further layer is
    passed by every request. The framework's last resort for failures is `RequestScope` here, and
    what it keeps open for endpoints with parameters of their own is kept by their `Route`.
    """

    def build_middleware_stack(self) -> ASGIApp:
        return ExceptionMiddleware(self.router, handlers=self.exception_handlers)
