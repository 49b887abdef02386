"""Whether a peer's address is this host's own."""

import socket
from typing import Any


def is_this_host(address: str) -> bool:
    """`address` is host:port as workers announce it. May ask the resolver, so it blocks.

    Only an address of this host can be bound. What cannot be resolved is somewhere else.
    """
    host, _, _ = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(_can_bind(family, place) for family, _, _, _, place in found)


def _can_bind(family: int, place: Any) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(place)  # at a port that the system chooses
        except OSError:
            return False
    return True
