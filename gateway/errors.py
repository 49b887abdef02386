"""What the gateway adds to the tree of errors, and what each branch means to an HTTP client.

RefusedError
└── OverloadedError     the queue is full, or a tenant's limit is reached; says when to come back -> 429
UnavailableError
├── NoRoomError         no worker takes requests; says when to come back -> 503
└── TooLateError        waited in vain for room; says when to come back -> 504
RequestError
├── BodyTooLargeError   -> 413
└── BodyTooSlowError    -> 408
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from baton.core.errors import (
    BatonError,
    NotFoundError,
    RefusedError,
    RequestError,
    TransferError,
    UnavailableError,
)

RETRY_SOON = 1  # seconds, for a failure that a restart cures


REASON_HEADER = "x-baton-reason"


class Reason(StrEnum):
    """Why a request was not served although nothing is wrong with it; a header of the answer."""

    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    NO_WORKER = "no_worker"
    SHUTTING_DOWN = "shutting_down"
    REQUESTS = "requests_per_minute"
    TOKENS = "tokens_per_minute"
    CONCURRENT = "concurrent_requests"


class OverloadedError(RefusedError):
    """`retry_after` is in seconds: from then on a place is kept. `headers` go with the answer."""

    def __init__(
        self,
        message: str,
        retry_after: int,
        reason: Reason = Reason.QUEUE_FULL,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = reason
        self.headers = headers or {}


class NoRoomError(UnavailableError):
    """`retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int, reason: Reason = Reason.NO_WORKER) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = reason


class TooLateError(UnavailableError):
    """`retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = Reason.QUEUE_TIMEOUT


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
    reason: Reason | None = None
    more_headers: Mapping[str, str] | None = None

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
        headers = dict(self.more_headers or {})
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.reason is not None:
            headers[REASON_HEADER] = self.reason
        return headers


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
            return ErrorReply(
                429,
                "RateLimitError",
                str(error),
                None,
                error.retry_after,
                error.reason,
                error.headers,
            )
        case NoRoomError():
            return ErrorReply(
                503, "ServiceUnavailableError", str(error), None, error.retry_after, error.reason
            )
        case TooLateError():
            return ErrorReply(
                504, "GatewayTimeoutError", str(error), None, error.retry_after, error.reason
            )
        case RefusedError():  # by the one worker that was to be asked
            message = "The worker of this request has no room for it now; it can be sent again."
            return ErrorReply(503, "ServiceUnavailableError", message, None, RETRY_SOON)
        case UnavailableError() | TransferError():  # whoever tried again gave up
            message = "The workers of this request went away; it can be sent again."
            return ErrorReply(503, "ServiceUnavailableError", message, None, RETRY_SOON)
        case _:
            return INTERNAL


_KINDS = {404: "NotFoundError", 405: "MethodNotAllowedError"}


def reply_to_status(status: int, message: str) -> ErrorReply:
    """For refusals of the HTTP layer itself, such as an unknown path."""
    return ErrorReply(status, _KINDS.get(status, "BadRequestError"), message)
