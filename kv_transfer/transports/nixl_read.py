"""Reads a peer's pool with NIXL: RDMA where there is a fabric, one copy by the kernel on one host."""

import contextlib
import ctypes
import socket
import threading
import time
from collections.abc import Sequence

from baton.core.errors import TransferError
from kv_transfer.memory import Memory, Run, batches
from kv_transfer.transports.base import (
    Endpoint,
    LinkLimits,
    Wanted,
    always,
    check_runs,
    check_wanted,
)
from kv_transfer.transports.nixl_agent import NAME, NixlAgent
from kv_transfer.transports.nixl_export import ABOUT, GOES_ON, MAGIC, OVER
from kv_transfer.transports.sockets import hang_up, receive_exactly
from kv_transfer.transports.tcp_protocol import split_address, tune

BATCH_BYTES = 32 << 20  # one READ; cannot be interrupted on one host
SCRATCH = 4096  # bytes, what a probe can read
TURN_S = 0.00005  # between two looks at a READ that is not done at once


class NixlReader:
    """An agent of its own, so that closing one link ends all that was under way on it, for sure."""

    def __init__(
        self, connection: socket.socket, endpoint: Endpoint, memory: Memory, limits: LinkLimits
    ) -> None:
        """`connection` is this object's from now on, unless this raises OSError or TransferError."""
        self.progress = 0  # batches that have landed
        self._connection = connection
        self._memory = memory
        self._stall_s = limits.stall_s
        self._lock = threading.Lock()  # held while the agent is in use
        self._closed = False
        connection.sendall(MAGIC + endpoint.token)
        about = receive_exactly(connection, ABOUT.size)
        self._size, self._there, length = ABOUT.unpack(about)
        metadata = receive_exactly(connection, length)
        connection.settimeout(limits.stall_s)
        self._scratch = ctypes.create_string_buffer(SCRATCH)
        self._agent: NixlAgent | None = NixlAgent(memory)
        try:
            self._agent.register(ctypes.addressof(self._scratch), SCRATCH)
            self._peer = self._agent.add_peer(metadata)
        except Exception as error:  # NIXL's errors have no public class
            self._agent.close()
            raise TransferError(f"NIXL does not know the peer: {error}") from error

    @property
    def transport(self) -> str:
        return NAME

    def probe(self, offset: int, length: int) -> bytes:
        run = Run(offset, 0, length)
        check_runs([run], self._size, SCRATCH)
        self._fetch([run], ctypes.addressof(self._scratch), always)
        return self._scratch.raw[:length]

    def read(self, runs: Sequence[Run], wanted: Wanted = always) -> None:
        check_runs(runs, self._size, self._memory.size)
        self._fetch(runs, None, wanted)

    def close(self) -> None:
        self._closed = True
        hang_up(self._connection)
        with self._lock:
            self._connection.close()
            self._end()

    def _fetch(self, runs: Sequence[Run], target: int | None, wanted: Wanted) -> None:
        """`target` is an address, None that of the pool."""
        with self._lock:
            if self._closed or self._agent is None:
                raise TransferError("the link to the peer was closed")
            here = self._agent.address if target is None else target
            try:
                for batch in batches(runs, BATCH_BYTES):
                    if not wanted():
                        break
                    self._read(self._agent, here, batch)
                    self.progress += 1
                self._connection.sendall(OVER)
            except Exception as error:  # likewise
                self._closed = True
                self._end()  # only then no byte can land any more
                raise TransferError(f"the link to the peer broke: {error}") from error
            check_wanted(wanted)

    def _read(self, agent: NixlAgent, here: int, runs: Sequence[Run]) -> None:
        self._connection.sendall(GOES_ON)
        handle = agent.start(
            self._peer,
            [(self._there + run.source, run.length) for run in runs],
            [(here + run.target, run.length) for run in runs],
        )
        try:
            deadline = time.monotonic() + self._stall_s
            while not agent.done(handle):
                if self._closed:
                    raise TransferError("it was closed")
                if time.monotonic() > deadline:
                    raise TransferError("timed out")
                time.sleep(TURN_S)
        finally:
            agent.release(handle)

    def _end(self) -> None:
        agent, self._agent = self._agent, None
        if agent is not None:
            with contextlib.suppress(TransferError):  # its agent is gone all the same
                agent.close(self._peer)


def connect_nixl(endpoint: Endpoint, memory: Memory, limits: LinkLimits) -> NixlReader:
    """Raises TransferError with the reason. Takes half a second: NIXL looks for its devices."""
    try:
        connection = socket.create_connection(
            split_address(endpoint.address), timeout=limits.connect_s
        )
    except (OSError, ValueError) as error:
        raise TransferError(str(error)) from error
    try:
        tune(connection)
        return NixlReader(connection, endpoint, memory, limits)
    except (OSError, TransferError) as error:
        connection.close()
        raise TransferError(str(error)) from error
