"""A reserved port is free for its listener, again and again, and for nobody else."""

import errno
import socket

import pytest

from baton.cluster.reserved_port import reserved_port
from baton.rpc.server import bind, make_server

HOST = "127.0.0.1"


async def test_a_grpc_server_listens_on_it_and_so_does_its_successor() -> None:
    with reserved_port(HOST) as port:
        for _ in range(2):
            server = make_server()
            assert bind(server, HOST, port) == port
            await server.start()
            socket.create_connection((HOST, port), timeout=5).close()
            await server.stop(0)


def test_it_is_nobody_elses() -> None:
    with reserved_port(HOST) as port, socket.socket() as other:
        with pytest.raises(OSError, match="in use") as caught:
            other.bind((HOST, port))
        assert caught.value.errno == errno.EADDRINUSE


def test_it_is_free_again_afterwards() -> None:
    with reserved_port(HOST) as port:
        pass
    with socket.socket() as other:
        other.bind((HOST, port))
