"""Errors of calls that have no stream of their own to end with one."""

import grpc

from baton.core.errors import BatonError, RequestError
from baton.rpc.errors import error_of, status_of
from baton.v1 import decode_pb2

_STATUS = {status.value[0]: status for status in grpc.StatusCode}


def fault_to_pb(error: BatonError) -> decode_pb2.Fault:
    param = error.param if isinstance(error, RequestError) else None
    return decode_pb2.Fault(status=status_of(error).value[0], message=str(error), param=param)


def fault_from_pb(message: decode_pb2.Fault) -> BatonError:
    """A status that is not known is an internal error."""
    status = _STATUS.get(message.status, grpc.StatusCode.INTERNAL)
    param = message.param if message.HasField("param") else None
    return error_of(status, message.message, param)
