"""Reads a peer's pool over TCP, the bytes straight into this process's pool."""

import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence

from baton.core.errors import TransferError
from kv_transfer.memory import Memory, Run, batches
from kv_transfer.transports.base import (
    BATCH_BYTES,
    Endpoint,
    LinkLimits,
    Wanted,
    always,
    check_runs,
    check_wanted,
)
from kv_transfer.transports.sockets import hang_up, receive_exactly, window
from kv_transfer.transports.tcp_export import NAME
from kv_transfer.transports.tcp_protocol import (
    MAGIC,
    SIZE,
    STATUS_OK,
    pack_request,
    split_address,
    tune,
)

SLICE = 256 << 10  # bytes asked of the kernel at once; measured best
PARTS = 64  # runs that one call receives into
# Of one request. Two are under way at once, so that the peer never waits for the next one; both
# must fit into the socket's buffers while the peer sends and does not read.
REQUEST_RUNS = 1024
AHEAD = 2


class TcpReader:
    """One connection. After any error it is of no use: what comes next would be out of step."""

    def __init__(self, connection: socket.socket, size: int, memory: Memory) -> None:
        """`connection` has said hello and has its timeout; it is this object's from now on."""
        self.progress = 0  # requests that were answered in full
        self._connection = connection
        self._size = size
        self._memory = memory
        self._lock = threading.Lock()  # held while the connection is in use
        self._closed = False

    @property
    def transport(self) -> str:
        return NAME

    def probe(self, offset: int, length: int) -> bytes:
        data = bytearray(length)
        check_runs([Run(offset, 0, length)], self._size, length)
        with memoryview(data) as view:
            self._fetch([Run(offset, 0, length)], view, always)
        return bytes(data)

    def read(self, runs: Sequence[Run], wanted: Wanted = always) -> None:
        check_runs(runs, self._size, self._memory.size)
        self._fetch(runs, self._memory.view, wanted)

    def close(self) -> None:
        self._closed = True
        hang_up(self._connection)
        with self._lock:
            self._connection.close()

    def _fetch(self, runs: Sequence[Run], target: memoryview, wanted: Wanted) -> None:
        with self._lock:
            if self._closed:
                raise TransferError("the link to the peer was closed")
            try:
                self._stream(_requests(runs), target, wanted)
            except OSError as error:
                self._closed = True
                raise TransferError(f"the link to the peer broke: {error}") from error

    def _stream(
        self, requests: Iterator[Sequence[Run]], target: memoryview, wanted: Wanted
    ) -> None:
        """What has been asked for is received even when it is not wanted any more: that keeps the
        connection in step.
        """
        asked: deque[Sequence[Run]] = deque()
        while True:
            while wanted() and len(asked) < AHEAD and (request := next(requests, None)):
                self._connection.sendall(pack_request([(r.source, r.length) for r in request]))
                asked.append(request)
            if not asked:
                break
            self._check_status()
            self._receive([target[r.target : r.target + r.length] for r in asked.popleft()])
            self.progress += 1
        if next(requests, None):
            check_wanted(wanted)

    def _check_status(self) -> None:
        if receive_exactly(self._connection, 1) != STATUS_OK:
            self._closed = True
            raise TransferError("the peer refuses the runs asked for")

    def _receive(self, targets: Sequence[memoryview]) -> None:
        """Fills the targets, one after the other, several in one call where they are short."""
        at, done = 0, 0  # the target at hand, and how much of it is there
        while at < len(targets):
            received = self._connection.recvmsg_into(window(targets, at, done, SLICE, PARTS))[0]
            if not received:
                raise ConnectionError("the connection was closed")
            done += received
            while at < len(targets) and done >= len(targets[at]):
                done -= len(targets[at])
                at += 1


def connect_tcp(endpoint: Endpoint, memory: Memory, limits: LinkLimits) -> TcpReader:
    """Raises TransferError with the reason."""
    try:
        connection = socket.create_connection(
            split_address(endpoint.address), timeout=limits.connect_s
        )
    except (OSError, ValueError) as error:
        raise TransferError(str(error)) from error
    try:
        tune(connection)
        connection.sendall(MAGIC + endpoint.token)
        (size,) = SIZE.unpack(receive_exactly(connection, SIZE.size))
        connection.settimeout(limits.stall_s)
    except OSError as error:
        connection.close()
        raise TransferError(str(error)) from error
    return TcpReader(connection, size, memory)


def _requests(runs: Sequence[Run]) -> Iterator[Sequence[Run]]:
    for batch in batches(runs, BATCH_BYTES):
        for start in range(0, len(batch), REQUEST_RUNS):
            yield batch[start : start + REQUEST_RUNS]
