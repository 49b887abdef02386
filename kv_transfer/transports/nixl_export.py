"""Lends the pool to NIXL readers. Beside NIXL's own links each reader has a plain connection here.

    hello      magic, token     answer: size and address of the pool, length of the metadata, metadata
    ring       one byte, at each batch: b"\\1" a read goes on, b"\\0" it is over

NIXL moves nothing unless the owner of the memory takes part, and its own thread for that never
sleeps. So the owner takes part only between a ring and the end of the read.
"""

import hmac
import logging
import secrets
import socket
import struct
import threading
import time

from baton.core.errors import TransferError
from kv_transfer.memory import Memory
from kv_transfer.transports.base import TOKEN_BYTES, Endpoint, LinkLimits, endpoint_for
from kv_transfer.transports.nixl_agent import NAME, NixlAgent
from kv_transfer.transports.sockets import Acceptor, hang_up, receive_exactly
from kv_transfer.transports.tcp_protocol import join_address, tune

logger = logging.getLogger(__name__)

MAGIC = b"BTNX"
ABOUT = struct.Struct("!QQI")
GOES_ON, OVER = b"\x01", b"\x00"
TURN_S = 0.0002  # between two looks at the agent while a read is under way


class NixlExporter:
    """`advertise` is the host that peers are told, where it differs from the one listened on."""

    def __init__(
        self,
        memory: Memory,
        host: str = "127.0.0.1",
        advertise: str | None = None,
        limits: LinkLimits | None = None,
    ) -> None:
        self._memory = memory
        self._host, self._advertise = host, advertise or host
        self._limits = limits or LinkLimits()
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._agent: NixlAgent | None = None
        self._turn = threading.Lock()  # held while the agent is in use
        self._acceptor: Acceptor | None = None
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> Endpoint:
        """Raises TransferError where NIXL is missing."""
        self._agent = NixlAgent(self._memory)
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, 0), family=family)
        port = listener.getsockname()[1]
        self._acceptor = Acceptor(listener, "kv-nixl", self._welcome)
        return endpoint_for(NAME, join_address(self._advertise, port), self._token, self._memory)

    def close(self) -> None:
        if self._acceptor is None or self._agent is None:
            return
        self._acceptor.close()
        with self._lock:
            for connection in self._connections:
                hang_up(connection)
        for thread in self._threads:
            thread.join()
        try:
            self._agent.close()
        except TransferError as error:
            logger.info("%s", error)
        self._agent = None

    def _welcome(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)
        thread = threading.Thread(
            target=self._serve, args=(connection,), name="kv-nixl-peer", daemon=True
        )
        thread.start()
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                tune(connection)
                if self._greet(connection):
                    self._take_part(connection)
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
        agent = self._used()
        with self._turn:
            metadata = agent.metadata
        about = ABOUT.pack(self._memory.size, agent.address, len(metadata))
        connection.sendall(about + metadata)
        return True

    def _take_part(self, connection: socket.socket) -> None:
        """Until the reader hangs up, or rings and then says nothing for as long as a stall may be."""
        agent, rung = self._used(), None
        while True:
            connection.settimeout(TURN_S if rung is not None else None)
            try:
                byte = connection.recv(1)
            except TimeoutError:
                if rung is not None and time.monotonic() - rung > 2 * self._limits.stall_s:
                    logger.warning("A reader of the KV pool does not say that it is done")
                    return
            else:
                if not byte:
                    return
                rung = time.monotonic() if byte == GOES_ON else None
            if rung is not None:
                with self._turn:
                    agent.progress()

    def _used(self) -> NixlAgent:
        if self._agent is None:
            raise OSError("the pool is not lent")
        return self._agent
