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

_STATUS: list[tuple[type[BatonError], grpc.StatusCode]] = [  # the first match counts
    (NotFoundError, grpc.StatusCode.NOT_FOUND),
    (RequestError, grpc.StatusCode.INVALID_ARGUMENT),
    (RefusedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (TransferError, grpc.StatusCode.ABORTED),
]
_ERRORS = {status: kind for kind, status in reversed(_STATUS)}
_ERRORS[grpc.StatusCode.DEADLINE_EXCEEDED] = UnavailableError
_ERRORS[grpc.StatusCode.CANCELLED] = UnavailableError


def status_of(error: BatonError) -> grpc.StatusCode:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return grpc.StatusCode.INTERNAL


def from_rpc_error(error: grpc.aio.AioRpcError) -> BatonError:
    """The error that the other side raised, or what the broken call amounts to."""
    message = error.details() or error.code().name.lower()
    kind = _ERRORS.get(error.code(), InternalError)
    if issubclass(kind, RequestError):
        param = dict(error.trailing_metadata() or ()).get(PARAM_KEY)
        return kind(message, str(param) if param is not None else None)
    return kind(message)
