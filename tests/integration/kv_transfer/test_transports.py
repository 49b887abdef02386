"""All data planes over real sockets and real memory files."""

import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from baton.core.errors import TransferError, UnavailableError
from baton.engine.blocks.kv_pool import KvPool
from kv_transfer.memory import Memory, Run, runs_of
from kv_transfer.transports import grpc_export, mapping, nixl_read, tcp_read
from kv_transfer.transports.base import Endpoint, Exporter, LinkLimits, Reader
from kv_transfer.transports.grpc_read import connect_grpc
from kv_transfer.transports.negotiate import negotiate
from kv_transfer.transports.nixl_export import NixlExporter
from kv_transfer.transports.nixl_read import connect_nixl
from kv_transfer.transports.shm import ShmExporter, connect_shm
from kv_transfer.transports.tcp_export import TcpExporter
from kv_transfer.transports.tcp_protocol import MAGIC, split_address
from kv_transfer.transports.tcp_read import connect_tcp
from tests.support.kv_grpc_plane import lent_over_grpc, silent_grpc_peer
from tests.support.kv_planes import usable
from tests.support.kv_residue import open_files

pytestmark = pytest.mark.integration

Pools = tuple[KvPool, KvPool]
LIMITS = LinkLimits(connect_s=2, stall_s=1)
EXPORTERS: dict[str, Callable[[Memory], Exporter]] = {
    "shm": lambda memory: ShmExporter(memory, LIMITS),
    "tcp": lambda memory: TcpExporter(memory, limits=LIMITS),
    "nixl": lambda memory: NixlExporter(memory, limits=LIMITS),
}
CONNECT: dict[str, Callable[[Endpoint, Memory, LinkLimits], Reader]] = {
    "shm": connect_shm,
    "tcp": connect_tcp,
    "grpc": connect_grpc,
    "nixl": connect_nixl,
}


@contextmanager
def lent(name: str, memory: Memory) -> Iterator[Endpoint]:
    if name == "grpc":
        with lent_over_grpc(memory) as endpoint:
            yield endpoint
        return
    exporter = EXPORTERS[name](memory)
    try:
        yield exporter.start()
    finally:
        exporter.close()


@pytest.fixture(name="pools")
def filled_pools(pools: Pools) -> Pools:
    """The sender's holds random bytes."""
    source, _ = pools
    source.view[: source.canary_offset] = os.urandom(source.canary_offset)
    return pools


@pytest.fixture(params=["shm", "tcp", "grpc", "nixl"])
def plane(request: pytest.FixtureRequest) -> str:
    return usable(request.param)


def block(pool: KvPool, number: int) -> bytes:
    start = number * pool.block_bytes
    return bytes(pool.view[start : start + pool.block_bytes])


def test_blocks_arrive_equal_and_nothing_else_changes(plane: str, pools: Pools) -> None:
    source, target = pools
    numbers = random.Random(7)
    sources = numbers.sample(range(64), 40)
    targets = numbers.sample(range(64), 40)
    canary = bytes(target.view[target.canary_offset :])
    with lent(plane, source) as endpoint, closing(connect(plane, endpoint, target)) as reader:
        reader.read(runs_of(sources, targets, source.block_bytes))
    for theirs, ours in zip(sources, targets, strict=True):
        assert block(target, ours) == block(source, theirs)
    for untouched in set(range(64)) - set(targets):
        assert block(target, untouched) == bytes(target.block_bytes)
    assert bytes(target.view[target.canary_offset :]) == canary


def connect(plane: str, endpoint: Endpoint, memory: Memory) -> Reader:
    return CONNECT[plane](endpoint, memory, LIMITS)


def test_thousands_of_runs_in_one_read_arrive_in_order(plane: str, pools: Pools) -> None:
    source, target = pools
    runs = [Run(2 * i, 16 * i, 2) for i in range(9000)]
    with lent(plane, source) as endpoint, closing(connect(plane, endpoint, target)) as reader:
        reader.read(runs)
        reader.read(runs[:1])
    for run in runs:
        there = bytes(source.view[run.source : run.source + 2])
        assert bytes(target.view[run.target : run.target + 2]) == there


def test_what_the_owner_writes_later_is_what_is_read(plane: str, pools: Pools) -> None:
    source, target = pools
    with lent(plane, source) as endpoint, closing(connect(plane, endpoint, target)) as reader:
        for word in (b"one", b"two"):
            source.view[:3] = word
            reader.read([Run(0, 100, 3)])
            assert bytes(target.view[100:103]) == word


@pytest.mark.parametrize(
    "run", [Run(-1, 0, 4), Run(0, -1, 4), Run(0, 0, 0), Run(1 << 40, 0, 4), Run(0, 1 << 40, 4)]
)
def test_runs_outside_either_pool_are_refused(plane: str, pools: Pools, run: Run) -> None:
    source, target = pools
    before = bytes(target.view)
    with lent(plane, source) as endpoint, closing(connect(plane, endpoint, target)) as reader:
        with pytest.raises(TransferError):
            reader.read([Run(0, 0, 1), run])
        assert bytes(target.view) == before


def test_peers_are_told_the_port_that_is_forwarded(pools: Pools) -> None:
    exporter = TcpExporter(pools[0], port=0, advertise="there", advertise_port=4711)
    try:
        assert exporter.start().address == "there:4711"
    finally:
        exporter.close()


def test_a_wrong_token_gets_nothing(plane: str, pools: Pools) -> None:
    source, target = pools
    with lent(plane, source) as endpoint:
        forged = replace(endpoint, token=os.urandom(16))
        with pytest.raises(TransferError):
            connect(plane, forged, target)
        with closing(connect(plane, endpoint, target)) as reader:  # others are still served
            assert reader.probe(endpoint.canary_offset, 64) == endpoint.canary


def test_nobody_listens_any_more_after_close(plane: str, pools: Pools) -> None:
    source, target = pools
    with lent(plane, source) as endpoint:
        pass
    with pytest.raises(TransferError):
        connect(plane, endpoint, target)


def test_a_closed_reader_reads_no_more(plane: str, pools: Pools) -> None:
    source, target = pools
    with lent(plane, source) as endpoint:
        reader = connect(plane, endpoint, target)
        reader.close()
        reader.close()
        with pytest.raises(TransferError, match="closed"):
            reader.read([Run(0, 0, 1)])
        with pytest.raises(TransferError, match="closed"):
            reader.probe(0, 1)


def test_nothing_stays_open(plane: str, pools: Pools) -> None:
    source, target = pools
    before = Counter(open_files())
    with lent(plane, source) as endpoint, closing(connect(plane, endpoint, target)) as reader:
        reader.read([Run(0, 0, 1)])
    for _ in range(500):  # gRPC closes its sockets on a thread of its own, without an event
        if not Counter(open_files()) - before:
            break
        time.sleep(0.01)
    assert not Counter(open_files()) - before


def test_shared_memory_comes_read_only(pools: Pools) -> None:
    source, _ = pools
    with lent("shm", source) as endpoint, socket.socket(socket.AF_UNIX) as peer:
        peer.connect("\0" + endpoint.address)
        peer.sendall(endpoint.token)
        _, (fd,), _, _ = socket.recv_fds(peer, 8, 1)
        try:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(fd, b"x")
        finally:
            os.close(fd)


def test_memory_that_could_shrink_is_not_mapped(pools: Pools) -> None:
    source, target = pools
    fd = os.memfd_create("baton-unsealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, source.size)

    class Unsealed:
        size, view, block_bytes = source.size, source.view, source.block_bytes
        canary_offset = source.canary_offset

        @property
        def fd(self) -> int:
            return fd

    try:
        with lent("shm", Unsealed()) as endpoint, pytest.raises(TransferError, match="sealed"):
            connect("shm", endpoint, target)
    finally:
        os.close(fd)


def test_a_read_that_is_not_wanted_any_more_ends_and_the_link_stays_good(
    plane: str, pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (mapping, tcp_read, nixl_read):
        monkeypatch.setattr(module, "BATCH_BYTES", 100)
    monkeypatch.setattr(grpc_export, "CHUNK", 100)
    source, target = pools
    asked = iter([True, True, True])
    with lent(plane, source) as endpoint, closing(connect(plane, endpoint, target)) as reader:
        with pytest.raises(TransferError, match="cancelled"):
            reader.read([Run(0, 0, 4000)], wanted=lambda: next(asked, False))
        assert bytes(target.view[1000:4000]) == bytes(3000)
        reader.read([Run(4000, 4000, 1000)])
        assert bytes(target.view[4000:5000]) == bytes(source.view[4000:5000])


def test_progress_grows_with_the_bytes(plane: str, pools: Pools) -> None:
    source, target = pools
    with lent(plane, source) as endpoint, closing(connect(plane, endpoint, target)) as reader:
        before = reader.progress
        reader.read([Run(0, 0, 1)])
        assert reader.progress > before


@pytest.fixture(params=["tcp", "grpc"])
def silent(
    request: pytest.FixtureRequest, pools: Pools
) -> Iterator[tuple[str, Endpoint, threading.Event]]:
    """A plane whose peer takes one read and leaves it unfinished."""
    peer = silent_peer() if request.param == "tcp" else silent_grpc_peer(pools[0])
    with peer as (endpoint, asked):
        yield request.param, endpoint, asked


def test_a_read_from_a_peer_that_falls_silent_ends_by_itself(
    silent: tuple[str, Endpoint, threading.Event], pools: Pools
) -> None:
    plane, endpoint, _ = silent
    with (
        closing(connect(plane, endpoint, pools[1])) as reader,
        pytest.raises(TransferError, match="timed out"),
    ):
        reader.read([Run(0, 0, 4)])


def test_closing_ends_a_read_that_waits(
    silent: tuple[str, Endpoint, threading.Event], pools: Pools
) -> None:
    plane, endpoint, asked = silent
    reader = CONNECT[plane](endpoint, pools[1], LinkLimits(connect_s=2, stall_s=50))
    failures: list[str] = []

    def read() -> None:
        try:
            reader.read([Run(0, 0, 4)])
        except TransferError as error:
            failures.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    assert asked.wait(5)
    reader.close()
    thread.join(5)
    assert len(failures) == 1


def test_a_grpc_read_shows_the_secret_of_the_cluster(pools: Pools) -> None:
    source, target = pools
    with lent_over_grpc(source, "the secret") as endpoint:
        with pytest.raises(TransferError, match="secret is wrong"):
            connect_grpc(endpoint, target, LIMITS)
        with closing(connect_grpc(endpoint, target, LIMITS, "the secret")) as reader:
            reader.read([Run(0, 0, 4)])


def test_a_grpc_peer_that_is_gone_fails_the_read(pools: Pools) -> None:
    source, target = pools
    with lent("grpc", source) as endpoint:
        reader = connect("grpc", endpoint, target)
    with closing(reader), pytest.raises(TransferError, match="broke"):
        reader.read([Run(0, 0, 4)])


@contextmanager
def silent_peer() -> Iterator[tuple[Endpoint, threading.Event]]:
    """Says hello like a TcpExporter, takes one request and never answers; tells when it has it."""
    asked, over = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(len(MAGIC) + 16, socket.MSG_WAITALL)
                connection.sendall((4096).to_bytes(8, "big"))
                connection.recv(4)
                asked.set()
                over.wait(30)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield Endpoint("tcp", address, bytes(16), 0, b"x"), asked
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n" * 4, MAGIC, b""])
def test_a_stranger_on_the_tcp_port_disturbs_nobody(pools: Pools, junk: bytes) -> None:
    source, target = pools
    with (
        lent("tcp", source) as endpoint,
        socket.create_connection(split_address(endpoint.address)) as stranger,
    ):
        stranger.sendall(junk)
        with closing(connect("tcp", endpoint, target)) as reader:
            reader.read([Run(0, 0, 4)])


@pytest.mark.parametrize(
    "request_bytes",
    [
        (1).to_bytes(4, "big") + (1 << 50).to_bytes(8, "big") + (4).to_bytes(8, "big"),
        (1).to_bytes(4, "big") + ((1 << 64) - 2).to_bytes(8, "big") + (4).to_bytes(8, "big"),
        (1).to_bytes(4, "big") + (0).to_bytes(8, "big") + (0).to_bytes(8, "big"),
        (1 << 31).to_bytes(4, "big"),
    ],
)
def test_a_malformed_request_ends_the_connection(pools: Pools, request_bytes: bytes) -> None:
    source, _ = pools
    with (
        lent("tcp", source) as endpoint,
        socket.create_connection(split_address(endpoint.address), timeout=5) as peer,
    ):
        peer.sendall(MAGIC + endpoint.token)
        assert int.from_bytes(peer.recv(8, socket.MSG_WAITALL), "big") == source.size
        peer.sendall(request_bytes)
        answer = b"".join(iter(lambda: peer.recv(100), b""))
        assert answer in (b"", b"\x01")


def test_negotiation_takes_the_first_that_reads_the_canary(pools: Pools) -> None:
    source, target = pools
    with lent("shm", source) as shm, lent("tcp", source) as tcp, lent("grpc", source) as grpc:
        for choice, expected in [("auto", "shm"), ("shm", "shm"), ("tcp", "tcp"), ("grpc", "grpc")]:
            with closing(negotiate([shm, tcp, grpc], target, choice, LIMITS)) as reader:
                assert reader.transport == expected
        elsewhere = replace(shm, address="baton-kv-on-another-host")
        with closing(negotiate([elsewhere, tcp], target, "auto", LIMITS)) as reader:
            assert reader.transport == "tcp"


class FakeUnopenable:
    """A pool whose descriptor cannot be opened again, as where /proc is hidden."""

    def __init__(self, pool: KvPool) -> None:
        self.size, self.view, self.fd = pool.size, pool.view, -1
        self.block_bytes, self.canary_offset = pool.block_bytes, pool.canary_offset


@contextmanager
def filtered_port() -> Iterator[str]:
    """The address of a port that answers no connection: its queue is full."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_where_only_the_grpc_port_gets_through_it_is_taken(pools: Pools) -> None:
    source, target = pools
    with (
        lent("shm", FakeUnopenable(source)) as shm,
        lent("tcp", source) as tcp,
        lent("grpc", source) as grpc,
        filtered_port() as address,
    ):
        ends = [shm, replace(tcp, address=address), grpc]
        with closing(negotiate(ends, target, "auto", LinkLimits(connect_s=0.5))) as reader:
            assert reader.transport == "grpc"
        with pytest.raises(UnavailableError, match=r"shm: it refused.*; tcp: timed out"):
            negotiate(ends[:2], target, "auto", LinkLimits(connect_s=0.1))


def test_memory_that_is_not_the_peers_is_refused(plane: str, pools: Pools) -> None:
    source, target = pools
    with lent(plane, source) as endpoint:
        other = replace(endpoint, canary=os.urandom(64))
        with pytest.raises(UnavailableError, match="another memory"):
            negotiate([other], target, "auto", LIMITS)
        with pytest.raises(UnavailableError, match=r"leave|no run"):
            negotiate([replace(endpoint, canary_offset=1 << 40)], target, "auto", LIMITS)


def test_when_nothing_works_the_reasons_are_told(pools: Pools) -> None:
    source, target = pools
    with lent("shm", source) as shm:
        with pytest.raises(UnavailableError, match="none that 'tcp' allows"):
            negotiate([shm], target, "tcp", LIMITS)
        unknown = replace(shm, transport="pigeon")
        with pytest.raises(UnavailableError, match="pigeon: this worker does not speak it"):
            negotiate([unknown], target, "auto", LIMITS)
