"""Reads a peer's pool over a gRPC channel of its own, so that control never waits behind bytes."""

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from baton.core.errors import TransferError
from baton.rpc.channel import open_bulk_channel, secret_metadata
from baton.rpc.tls_identity import TlsIdentity
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer.memory import Memory, Run
from kv_transfer.transports.base import (
    Endpoint,
    LinkLimits,
    Wanted,
    always,
    check_runs,
    check_wanted,
)
from kv_transfer.transports.call_watch import CallWatch
from kv_transfer.transports.grpc_protocol import (
    MAX_RANGES,
    METHOD,
    NAME,
    SERVICE,
    unpack_data,
    unpack_size,
)


class GrpcReader:
    """Reads on the caller's thread. A read that fails leaves the link as it was."""

    def __init__(
        self, channel: grpc.Channel, token: bytes, secret: str, memory: Memory, limits: LinkLimits
    ) -> None:
        """`channel` is this object's from now on. Raises TransferError when nobody answers."""
        self.progress = 0  # chunks that have landed
        self._channel = channel
        self._token = token
        self._metadata = secret_metadata(secret)
        self._memory = memory
        self._ask: Any = channel.unary_stream(
            f"/{SERVICE}/{METHOD}", request_serializer=pb.ReadRequest.SerializeToString
        )
        self._lock = threading.Lock()  # held while the channel is in use
        self._closed = False
        self._watch = CallWatch(limits.stall_s, "kv-grpc-watch")
        try:
            self._size = self._pool_bytes(limits.connect_s)
        except TransferError:
            self.close()
            raise

    @property
    def transport(self) -> str:
        return NAME

    def probe(self, offset: int, length: int) -> bytes:
        data = bytearray(length)
        run = Run(offset, 0, length)
        check_runs([run], self._size, length)
        with memoryview(data) as view:
            self._fetch([run], view, always)
        return bytes(data)

    def read(self, runs: Sequence[Run], wanted: Wanted = always) -> None:
        check_runs(runs, self._size, self._memory.size)
        for start in range(0, len(runs), MAX_RANGES):
            self._fetch(runs[start : start + MAX_RANGES], self._memory.view, wanted)

    def close(self) -> None:
        self._closed = True
        self._watch.close()  # a running read ends
        with self._lock:
            self._channel.close()

    def _pool_bytes(self, seconds: float) -> int:
        call = self._ask(
            pb.ReadRequest(token=self._token), metadata=self._metadata, timeout=seconds
        )
        try:
            return unpack_size(next(call))
        except (grpc.RpcError, StopIteration, ValueError) as error:
            raise TransferError(_reason(error)) from error
        finally:
            call.cancel()

    def _fetch(self, runs: Sequence[Run], target: memoryview, wanted: Wanted) -> None:
        request = pb.ReadRequest(
            token=self._token,
            offsets=[run.source for run in runs],
            lengths=[run.length for run in runs],
        )
        with self._lock:
            if self._closed:
                raise TransferError("the link to the peer was closed")
            call = self._ask(request, metadata=self._metadata)
            self._watch.begin(call)
            try:
                self._land(call, runs, target, wanted)
            except (grpc.RpcError, ValueError) as error:
                raise self._error(error) from error
            finally:
                self._watch.end()
                call.cancel()  # does nothing to one that is over

    def _land(
        self, messages: Iterable[bytes], runs: Sequence[Run], target: memoryview, wanted: Wanted
    ) -> None:
        """Only this thread writes: no byte lands once this has ended."""
        messages = iter(messages)
        next(messages, None)  # the size
        run, done = 0, 0  # the run at hand, and how much of it is there
        check_wanted(wanted)
        for message in messages:
            self._watch.progressed()
            data = unpack_data(message)
            while len(data):
                if run == len(runs):
                    raise ValueError("more bytes came than were asked for")
                at = runs[run].target + done
                length = min(len(data), runs[run].length - done)
                target[at : at + length] = data[:length]
                data, done = data[length:], done + length
                if done == runs[run].length:
                    run, done = run + 1, 0
            self.progress += 1
            if run < len(runs):
                check_wanted(wanted)
            if self._closed:
                break
        if run < len(runs):
            raise ValueError("the peer ended before all bytes were there")

    def _error(self, error: Exception) -> TransferError:
        if self._closed:
            return TransferError("the link to the peer was closed")
        if self._watch.stalled:
            return TransferError("the link to the peer broke: timed out")
        return TransferError(f"the link to the peer broke: {_reason(error)}")


def connect_grpc(
    endpoint: Endpoint,
    memory: Memory,
    limits: LinkLimits,
    secret: str = "",
    tls: TlsIdentity | None = None,
) -> GrpcReader:
    """Raises TransferError with the reason."""
    channel = open_bulk_channel(endpoint.address, tls)
    return GrpcReader(channel, endpoint.token, secret, memory, limits)


def _reason(error: Exception) -> str:
    if isinstance(error, StopIteration):
        return "it answered nothing"
    call: Any = error  # a grpc.RpcError that a call raises is that call as well
    return str(call.details() or call.code()) if isinstance(error, grpc.Call) else str(error)
