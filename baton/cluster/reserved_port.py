"""A port that is ours before anybody listens on it, so that its address can be told to all at once."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port(host: str) -> Iterator[int]:
    """A free port of `host`; whoever binds it with SO_REUSEADDR, as gRPC does, may listen there.

    Bound but not listening, it is given to nobody who asks for any free port, and it stays ours
    while the listener is being started again. Linux only.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, 0))
        yield int(holder.getsockname()[1])
