"""What the gateway adds to the tree of errors, and what each branch means to an HTTP client.

RefusedError
└── OverloadedError     the queue is full; says when to come back -> 429
UnavailableError
└── NoRoomError         waited in vain for a worker; says when to come back -> 503
RequestError
├── BodyTooLargeError   -> 413
└── BodyTooSlowError    -> 408
"""

from dataclasses import dataclass

from baton.core.errors import (
    BatonError,
    NotFoundError,
    RefusedError,
    RequestError,
    TransferError,
    UnavailableError,
)

RETRY_SOON = 1  # seconds, for a failure that a restart cures


class OverloadedError(RefusedError):
    """`retry_after` is in seconds, a guess from how fast the queue moves."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoRoomError(UnavailableError):
    """`retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BodyTooLargeError(RequestError):
    """More bytes than the gateway reads."""


class BodyTooSlowError(RequestError):
    """The client stopped sending before the end."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error as HTTP tells it: the same object in a response body and inside a stream."""

    status: int
    kind: str
    message: str
    param: str | None = None
    retry_after: int | None = None  # seconds

    @property
    def body(self) -> dict[str, object]:
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.status,
            }
        }

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


INTERNAL = ErrorReply(500, "InternalServerError", "The server failed to answer this request.")


def reply_to(error: BatonError) -> ErrorReply:
    """The client's view of an error. What is our fault tells nothing of our insides."""
    match error:
        case NotFoundError():
            return ErrorReply(404, "NotFoundError", str(error), error.param)
        case BodyTooLargeError():
            return ErrorReply(413, "BadRequestError", str(error), error.param)
        case BodyTooSlowError():
            return ErrorReply(408, "BadRequestError", str(error), error.param)
        case RequestError():
            return ErrorReply(400, "BadRequestError", str(error), error.param)
        case OverloadedError():
            return ErrorReply(429, "RateLimitError", str(error), None, error.retry_after)
        case NoRoomError():
            return ErrorReply(503, "ServiceUnavailableError", str(error), None, error.retry_after)
        case RefusedError() | UnavailableError() | TransferError():  # whoever tried again gave up
            message = "The workers of this request went away; it can be sent again."
            return ErrorReply(503, "ServiceUnavailableError", message, None, RETRY_SOON)
        case _:
            return INTERNAL


_KINDS = {404: "NotFoundError", 405: "MethodNotAllowedError"}


def reply_to_status(status: int, message: str) -> ErrorReply:
    """For refusals of the HTTP layer itself, such as an unknown path."""
    return ErrorReply(status, _KINDS.get(status, "BadRequestError"), message)
