"""Errors across the wire: each branch of the tree has one gRPC status, and back."""

import grpc

from baton.core.errors import (
    BatonError,
    InternalError,
    NotFoundError,
    RefusedError,
    RequestError,
    TransferError,
    UnavailableError,
)

PARAM_KEY = "baton-param"  # trailing metadata: the field at fault
RAISED = ("baton-raised", "1")  # trailing metadata of every error that a handler of ours raised

_STATUS: list[tuple[type[BatonError], grpc.StatusCode]] = [  # the first match counts
    (NotFoundError, grpc.StatusCode.NOT_FOUND),
    (RequestError, grpc.StatusCode.INVALID_ARGUMENT),
    (RefusedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (TransferError, grpc.StatusCode.ABORTED),
]
_ERRORS = {status: kind for kind, status in reversed(_STATUS)}
# What gRPC itself, or a proxy, makes of a stream that was reset or ended without a status.
_OF_STREAMS = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
_ERRORS[grpc.StatusCode.DEADLINE_EXCEEDED] = UnavailableError
_ERRORS[grpc.StatusCode.CANCELLED] = UnavailableError


def status_of(error: BatonError) -> grpc.StatusCode:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return grpc.StatusCode.INTERNAL


def error_of(status: grpc.StatusCode, message: str, param: str | None = None) -> BatonError:
    """The error that has that status."""
    kind = _ERRORS.get(status, InternalError)
    return kind(message, param) if issubclass(kind, RequestError) else kind(message)


def from_rpc_error(error: grpc.aio.AioRpcError) -> BatonError:
    """The error that the other side raised, or what the broken call amounts to."""
    message = error.details() or error.code().name.lower()
    trailing = dict(error.trailing_metadata() or ())
    if error.code() in _OF_STREAMS and RAISED[0] not in trailing:
        return UnavailableError(message)
    param = trailing.get(PARAM_KEY)
    return error_of(error.code(), message, str(param) if param is not None else None)
