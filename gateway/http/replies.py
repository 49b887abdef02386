"""Whole responses: JSON bodies and the error object."""

from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Scope

from gateway.errors import ErrorReply
from gateway.json_text import to_json
from gateway.root_path import path_of
from gateway.translations.messages_error import anthropic_error, is_anthropic


class JsonReply(JSONResponse):
    def render(self, content: Any) -> bytes:
        return to_json(content).encode()


def error_reply(
    reply: ErrorReply, scope: Scope, headers: dict[str, str] | None = None
) -> JsonReply:
    """In the shape of the API that `scope` asks."""
    body = anthropic_error(reply) if is_anthropic(path_of(scope)) else reply.body
    return JsonReply(body, reply.status, {**(headers or {}), **reply.headers})
