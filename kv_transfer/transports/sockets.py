"""What both data planes do with sockets."""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

RETRY_S = 0.1  # after an accept that failed for want of descriptors


def receive_exactly(connection: socket.socket, length: int) -> bytes:
    """Raises ConnectionError when the other side ends before."""
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise ConnectionError("the connection was closed")
        data += part
    return data


def hang_up(connection: socket.socket) -> None:
    """Wakes whichever thread waits on the socket; closing alone would not."""
    with contextlib.suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


def window(
    pieces: Sequence[memoryview], at: int, done: int, max_bytes: int, max_pieces: int
) -> list[memoryview]:
    """What one call moves: the next bytes, from byte `done` of piece `at` on."""
    found = [pieces[at][done : done + max_bytes]]
    room = max_bytes - len(found[0])
    for piece in pieces[at + 1 : at + max_pieces]:
        if room <= 0:
            break
        found.append(piece[:room])
        room -= len(found[-1])
    return found


class Acceptor:
    """A thread that takes connections and gives each to `welcome`, which owns it from then on."""

    def __init__(
        self, listener: socket.socket, name: str, welcome: Callable[[socket.socket], None]
    ) -> None:
        self._listener = listener
        self._welcome = welcome
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No connection is welcomed any more when this returns; the listener is closed."""
        self._closing.set()
        hang_up(self._listener)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if not self._closing.wait(RETRY_S):
                    logger.warning("A connection to the KV pool was not accepted: %s", error)
                continue
            self._welcome(connection)
