"""Whole responses: JSON bodies and the error object."""

from typing import Any

from starlette.responses import JSONResponse

from gateway.errors import ErrorReply
from gateway.json_text import to_json


class JsonReply(JSONResponse):
    def render(self, content: Any) -> bytes:
        return to_json(content).encode()


def error_reply(reply: ErrorReply, headers: dict[str, str] | None = None) -> JsonReply:
    return JsonReply(reply.body, reply.status, {**(headers or {}), **reply.headers})
