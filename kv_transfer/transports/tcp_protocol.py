"""The bytes of the TCP data plane.

    hello      magic, token                      answer: size of the pool
    request    count, count x (offset, length)   answer: status, then the bytes, run after run

A connection that says anything wrong is closed. All numbers are big-endian.
"""

import socket
import struct
from collections.abc import Sequence

MAGIC = b"BTKV"
SIZE = struct.Struct("!Q")
COUNT = struct.Struct("!I")
RANGE = struct.Struct("!QQ")
STATUS_OK, STATUS_OUT_OF_BOUNDS = b"\x00", b"\x01"
MAX_RANGES = 4096  # of one request

Range = tuple[int, int]


def pack_request(ranges: Sequence[Range]) -> bytes:
    return COUNT.pack(len(ranges)) + b"".join(RANGE.pack(*r) for r in ranges)


def unpack_ranges(data: bytes) -> list[Range]:
    return [(offset, length) for offset, length in RANGE.iter_unpack(data)]


def within(ranges: Sequence[Range], size: int) -> bool:
    return all(length > 0 and offset + length <= size for offset, length in ranges)


def tune(connection: socket.socket) -> None:
    """Requests leave at once, and a peer that is gone without a word is noticed within 6 s."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 3)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 6000)


def split_address(address: str) -> tuple[str, int]:
    """host:port, the host in brackets where it has colons. Raises ValueError."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
