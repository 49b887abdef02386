"""Reads a peer's pool over TCP, the bytes straight into this process's pool."""

import socket
import threading
from collections.abc import Iterator, Sequence

from baton.core.errors import TransferError
from kv_transfer.memory import Memory, Run
from kv_transfer.transports.base import Endpoint, LinkLimits, check_runs
from kv_transfer.transports.sockets import hang_up, receive_exactly
from kv_transfer.transports.tcp_export import NAME
from kv_transfer.transports.tcp_protocol import (
    MAGIC,
    MAX_RANGES,
    SIZE,
    STATUS_OK,
    pack_request,
    split_address,
    tune,
)

SLICE = 256 << 10  # bytes asked of the kernel at once; measured best


class TcpReader:
    """One connection. After any error it is of no use: what comes next would be out of step."""

    def __init__(self, connection: socket.socket, size: int, memory: Memory) -> None:
        """`connection` has said hello and has its timeout; it is this object's from now on."""
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
            self._fetch([Run(offset, 0, length)], view)
        return bytes(data)

    def read(self, runs: Sequence[Run]) -> None:
        check_runs(runs, self._size, self._memory.size)
        self._fetch(runs, self._memory.view)

    def close(self) -> None:
        self._closed = True
        hang_up(self._connection)
        with self._lock:
            self._connection.close()

    def _fetch(self, runs: Sequence[Run], target: memoryview) -> None:
        with self._lock:
            if self._closed:
                raise TransferError("the link to the peer was closed")
            try:
                for batch in _batches(runs):
                    self._ask(batch)
                    for run in batch:
                        self._receive(target[run.target : run.target + run.length])
            except OSError as error:
                self._closed = True
                raise TransferError(f"the link to the peer broke: {error}") from error

    def _ask(self, runs: Sequence[Run]) -> None:
        self._connection.sendall(pack_request([(run.source, run.length) for run in runs]))
        if receive_exactly(self._connection, 1) != STATUS_OK:
            self._closed = True
            raise TransferError("the peer refuses the runs asked for")

    def _receive(self, target: memoryview) -> None:
        done = 0
        while done < len(target):
            received = self._connection.recv_into(target[done : done + SLICE])
            if not received:
                raise ConnectionError("the connection was closed")
            done += received


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


def _batches(runs: Sequence[Run]) -> Iterator[Sequence[Run]]:
    for start in range(0, len(runs), MAX_RANGES):
        yield runs[start : start + MAX_RANGES]
