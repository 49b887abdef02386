"""Errors as Anthropic's API tells them, and where that is the API that is asked."""

from gateway.errors import ErrorReply

PATH = "/v1/messages"
COUNT_PATH = f"{PATH}/count_tokens"

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def is_anthropic(path: str) -> bool:
    return path == PATH or path.startswith(f"{PATH}/")


def anthropic_error(reply: ErrorReply) -> dict[str, object]:
    """Its object has no place for a field's name, so the message begins with it."""
    message = reply.message
    if reply.param and reply.param not in message:
        message = f"{reply.param}: {message}"
    default = "invalid_request_error" if reply.status < 500 else "api_error"
    kind = _KINDS.get(reply.status, default)
    return {"type": "error", "error": {"type": kind, "message": message}}
