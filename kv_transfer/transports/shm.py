"""Shared memory on one host: the pool's descriptor, handed over once, then plain copies.

The socket lives in the abstract namespace, so that a killed process leaves nothing behind. The
peer gets a read-only descriptor; with it, it can read the whole pool.
"""

import array
import fcntl
import hmac
import logging
import os
import secrets
import socket
import struct

from baton.core.errors import TransferError
from kv_transfer.memory import Memory
from kv_transfer.transports.base import TOKEN_BYTES, Endpoint, LinkLimits, endpoint_for
from kv_transfer.transports.mapping import MappedReader
from kv_transfer.transports.sockets import Acceptor, receive_exactly

logger = logging.getLogger(__name__)

NAME = "shm"
HELLO = struct.Struct("!Q")  # size of the pool; the descriptor comes with it
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid, as the kernel gives them


class ShmExporter:
    """Hands the pool's descriptor to processes of the same user that show the token."""

    def __init__(self, memory: Memory, limits: LinkLimits | None = None) -> None:
        self._memory = memory
        self._limits = limits or LinkLimits()
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._acceptor: Acceptor | None = None

    def start(self) -> Endpoint:
        name = f"baton-kv-{secrets.token_hex(16)}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind("\0" + name)
        listener.listen()
        self._acceptor = Acceptor(listener, "kv-shm", self._welcome)
        return endpoint_for(NAME, name, self._token, self._memory)

    def close(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()

    def _welcome(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._greet(connection)
            except OSError as error:
                logger.warning("A process asked for the KV pool and went away: %s", error)

    def _greet(self, connection: socket.socket) -> None:
        connection.settimeout(self._limits.connect_s)
        if uid_of(connection) != os.getuid():
            logger.warning("A process of another user asked for the KV pool; refused")
            return
        if not hmac.compare_digest(receive_exactly(connection, TOKEN_BYTES), self._token):
            logger.warning("A process asked for the KV pool with a wrong token; refused")
            return
        fd = os.open(f"/proc/self/fd/{self._memory.fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            socket.send_fds(connection, [HELLO.pack(self._memory.size)], [fd])
        finally:
            os.close(fd)


def connect_shm(endpoint: Endpoint, memory: Memory, limits: LinkLimits) -> MappedReader:
    """Maps the pool behind `endpoint`. Raises TransferError with the reason."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(limits.connect_s)
            connection.connect("\0" + endpoint.address)
            if uid_of(connection) != os.getuid():
                raise TransferError("its owner is another user")
            connection.sendall(endpoint.token)
            size, fd = _receive_pool(connection)
    except OSError as error:
        raise TransferError(str(error)) from error
    try:
        _check_pool(fd, size)
        return MappedReader(NAME, fd, size, memory)
    finally:
        os.close(fd)


def _receive_pool(connection: socket.socket) -> tuple[int, int]:
    """Size and descriptor; a descriptor that comes with anything else is closed again."""
    space = socket.CMSG_SPACE(struct.calcsize("i"))
    data, ancillary, _, _ = connection.recvmsg(HELLO.size, space, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if len(data) == HELLO.size and len(fds) == 1:
        return HELLO.unpack(data)[0], fds[0]
    for fd in fds:
        os.close(fd)
    raise TransferError("it refused to hand over its memory")


def _check_pool(fd: int, size: int) -> None:
    """A pool that can shrink would kill whoever reads beyond its new end."""
    try:
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    except OSError as error:
        raise TransferError("its memory is no memfd") from error
    if not sealed or os.fstat(fd).st_size != size:
        raise TransferError(f"its memory is not sealed at {size} bytes")


def uid_of(connection: socket.socket) -> int:
    """The user behind a unix socket, from the kernel."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(raw)
    return int(uid)
