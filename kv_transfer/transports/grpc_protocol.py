"""The bytes of the gRPC data plane: `ReadResponse` messages, framed by hand.

On the wire they are what protobuf would make of them. Made and taken apart here, the payload is
copied once on each side: from the pool into the message, from the message into the pool.
"""

from collections.abc import Sequence

from baton.v1 import kv_transfer_pb2 as pb

NAME = "grpc"
SERVICE, METHOD = "baton.v1.KvDataService", "Read"
CHUNK = 1 << 20  # bytes of one message; more is slower
MAX_RANGES = 4096  # of one request

_DATA_TAG = bytes([pb.ReadResponse.DATA_FIELD_NUMBER << 3 | 2])


def pack_data(pieces: Sequence[memoryview]) -> bytes:
    """A message whose `data` is the pieces, one after the other."""
    length = sum(len(piece) for piece in pieces)
    return b"".join((_DATA_TAG, _varint(length), *pieces))


def unpack_data(message: bytes) -> memoryview:
    """Its `data`. Raises ValueError for what is no ReadResponse."""
    at = 1
    if message[:1] == _DATA_TAG:
        length = shift = 0
        while at < min(len(message), 11):
            byte = message[at]
            length |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        if length == len(message) - at:
            return memoryview(message)[at:]
    return memoryview(_parsed(message).data)  # in some other order, or with what is new


def unpack_size(message: bytes) -> int:
    """Its `pool_bytes`. Raises ValueError likewise."""
    return _parsed(message).pool_bytes


def _parsed(message: bytes) -> pb.ReadResponse:
    try:
        return pb.ReadResponse.FromString(message)
    except Exception as error:  # DecodeError is of no public class
        raise ValueError("the peer's message cannot be read") from error


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def cut(ranges: Sequence[tuple[int, int]], size: int) -> list[list[tuple[int, int]]]:
    """The same bytes in the same order, `size` at a time; the last part may be shorter."""
    parts: list[list[tuple[int, int]]] = []
    room = 0
    for offset, length in ranges:
        done = 0
        while done < length:
            if room == 0:
                parts.append([])
                room = size
            piece = min(room, length - done)
            parts[-1].append((offset + done, piece))
            done, room = done + piece, room - piece
    return parts
