"""Descriptions, of a worker or of a tenant, as bytes that only those who know the cluster's secret can
make.

A gateway dials the address in it and shows the secret there, so whoever can write to the store
must not be able to name one. Without a secret the signature proves nothing: then everybody who can
write to the store is trusted. A record of a worker that is gone can be written again by others; it
names no address but one of this cluster. So can a record that a tenant had before.
"""

import hmac

from google.protobuf.message import DecodeError

from baton.core.errors import BatonError
from baton.core.worker_info import WorkerInfo
from baton.rpc.wire import worker_info_from_pb, worker_info_to_pb
from baton.v1 import types_pb2

_PURPOSE = b"baton registry record 1"  # a signature for something else is none for this
_TENANT = b"baton tenant record 1"
_SIGNATURE = 32  # bytes, before the message


class UntrustedRecordError(BatonError):
    """A record that must not be acted on; the message says why."""


def sign(info: WorkerInfo, secret: str, prefix: str) -> bytes:
    """The same description gives the same bytes."""
    body = worker_info_to_pb(info).SerializeToString(deterministic=True)
    return signature(body, secret, prefix) + body


def opened(record: bytes, worker_id: str, secret: str, prefix: str) -> WorkerInfo:
    """`worker_id` and `prefix`: where the record was found, which must be where it belongs.

    Raises UntrustedRecordError.
    """
    shown, body = record[:_SIGNATURE], record[_SIGNATURE:]
    if not hmac.compare_digest(shown, signature(body, secret, prefix)):
        raise UntrustedRecordError("it is not signed with this cluster's secret")
    try:
        info = worker_info_from_pb(types_pb2.WorkerInfo.FromString(body))
    except (DecodeError, KeyError) as error:  # KeyError: a role that is not known here
        raise UntrustedRecordError("another version of Baton wrote it") from error
    if info.worker_id != worker_id:
        raise UntrustedRecordError(f"it describes {info.worker_id!r}")
    return info


def signature(body: bytes, secret: str, prefix: str) -> bytes:
    """Of the message's bytes, for a registry under that prefix."""
    return _digest(secret, _PURPOSE, prefix.encode(), body)


def sign_tenant(name: str, body: bytes, secret: str, prefix: str) -> bytes:
    return _tenant_signature(name, body, secret, prefix) + body


def opened_tenant(record: bytes, name: str, secret: str, prefix: str) -> bytes:
    """What was said of the tenant of that name. Raises UntrustedRecordError."""
    shown, body = record[:_SIGNATURE], record[_SIGNATURE:]
    if not hmac.compare_digest(shown, _tenant_signature(name, body, secret, prefix)):
        raise UntrustedRecordError("it is not signed for it with this cluster's secret")
    return body


def _tenant_signature(name: str, body: bytes, secret: str, prefix: str) -> bytes:
    return _digest(secret, _TENANT, prefix.encode(), name.encode(), body)


def _digest(secret: str, *parts: bytes) -> bytes:
    return hmac.digest(secret.encode(), b"\0".join(parts), "sha256")
