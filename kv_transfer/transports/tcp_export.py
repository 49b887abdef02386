"""Lends the pool over TCP: one thread per connection, the bytes straight from the pool."""

import hmac
import logging
import secrets
import socket
import threading
from collections.abc import Sequence

from kv_transfer.memory import Memory
from kv_transfer.transports.base import TOKEN_BYTES, Endpoint, LinkLimits, endpoint_for
from kv_transfer.transports.sockets import Acceptor, hang_up, receive_exactly, window
from kv_transfer.transports.tcp_protocol import (
    COUNT,
    MAGIC,
    MAX_RANGES,
    RANGE,
    SIZE,
    STATUS_OK,
    STATUS_OUT_OF_BOUNDS,
    Range,
    join_address,
    tune,
    unpack_ranges,
    within,
)

logger = logging.getLogger(__name__)

NAME = "tcp"
PIECES = 64  # of one system call
# Bytes of one system call, measured best over loopback: a quarter of it and twice as much are slower
# by a fifth to a half.
SEND_BYTES = 640 << 10
MAX_CONNECTIONS = 256


class TcpExporter:
    """`advertise` and `advertise_port` are what peers are told, where they differ from the host and
    the port listened on.
    """

    def __init__(
        self,
        memory: Memory,
        host: str = "127.0.0.1",
        port: int = 0,
        advertise: str | None = None,
        limits: LinkLimits | None = None,
        advertise_port: int = 0,
    ) -> None:
        self._memory = memory
        self._host, self._port, self._advertise = host, port, advertise or host
        self._advertise_port = advertise_port
        self._limits = limits or LinkLimits()
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._acceptor: Acceptor | None = None
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []  # those that have ended go at the next welcome

    def start(self) -> Endpoint:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family)
        port = self._advertise_port or listener.getsockname()[1]
        self._acceptor = Acceptor(listener, "kv-tcp", self._welcome)
        return endpoint_for(NAME, join_address(self._advertise, port), self._token, self._memory)

    def close(self) -> None:
        if self._acceptor is None:
            return
        self._acceptor.close()
        with self._lock:
            open_now = list(self._connections)
        for connection in open_now:
            hang_up(connection)
        for thread in self._threads:
            thread.join()

    def _welcome(self, connection: socket.socket) -> None:
        with self._lock:
            full = len(self._connections) >= MAX_CONNECTIONS
            if not full:
                self._connections.add(connection)
        if full:
            logger.warning("Too many readers of the KV pool; one was refused")
            connection.close()
            return
        thread = threading.Thread(
            target=self._serve, args=(connection,), name="kv-tcp-peer", daemon=True
        )
        thread.start()
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                tune(connection)
                if self._greet(connection):
                    while self._answer(connection):
                        pass
            except OSError as error:
                logger.info("A reader of the KV pool left: %s", error)
            finally:
                with self._lock:
                    self._connections.discard(connection)

    def _greet(self, connection: socket.socket) -> bool:
        connection.settimeout(self._limits.connect_s)
        hello = receive_exactly(connection, len(MAGIC) + TOKEN_BYTES)
        if not hmac.compare_digest(hello, MAGIC + self._token):
            logger.warning("A process asked for the KV pool with a wrong token; refused")
            return False
        connection.sendall(SIZE.pack(self._memory.size))
        return True

    def _answer(self, connection: socket.socket) -> bool:
        """Serves one request; False when there will be no other."""
        connection.settimeout(None)  # idle between two hand-offs; the kernel watches the peer
        first = connection.recv(1)
        if not first:
            return False
        connection.settimeout(self._limits.stall_s)
        (count,) = COUNT.unpack(first + receive_exactly(connection, COUNT.size - 1))
        if count > MAX_RANGES:
            logger.warning("A reader asked for %d runs at once; refused", count)
            return False
        ranges = unpack_ranges(receive_exactly(connection, count * RANGE.size))
        if not within(ranges, self._memory.size):
            logger.warning("A reader asked for bytes outside the KV pool; refused")
            connection.sendall(STATUS_OUT_OF_BOUNDS)
            return False
        self._send(connection, ranges)
        return True

    def _send(self, connection: socket.socket, ranges: Sequence[Range]) -> None:
        view = self._memory.view
        pieces = [memoryview(STATUS_OK), *(view[at : at + length] for at, length in ranges)]
        at, done = 0, 0  # the piece at hand, and how much of it has left
        while at < len(pieces):
            done += connection.sendmsg(window(pieces, at, done, SEND_BYTES, PIECES))
            while at < len(pieces) and done >= len(pieces[at]):
                done -= len(pieces[at])
                at += 1
