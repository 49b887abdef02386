"""gRPC between processes that show each other certificates, and everyone else outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from baton.rpc.channel import OPTIONS, open_channel
from baton.rpc.server import bind, make_server
from baton.rpc.tls_identity import TlsIdentity
from baton.rpc.tls_settings import ClusterTls
from tests.support.certificates import Authority, Certificate, make_authority

SECRET = "of the cluster"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def shown(ours: Authority) -> Certificate:
    return ours.issue("shown")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("foreign"), "foreign")


def identity_of(settings: ClusterTls) -> TlsIdentity:
    identity = settings.identity()
    assert identity is not None
    return identity


@asynccontextmanager
async def serving(settings: ClusterTls) -> AsyncIterator[int]:
    """The health service, which asks for no secret, so that only TLS stands in the way."""
    server = make_server(SECRET)
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = bind(server, "127.0.0.1", 0, identity_of(settings))
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def asked(channel: grpc.aio.Channel) -> Any:
    async with channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return (await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)).status


async def refusal(channel: grpc.aio.Channel) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asked(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    return str(caught.value.details())


def raw(port: int, ca: Path, shown: Certificate | None) -> grpc.aio.Channel:
    """As a client would open it whose files our own checks have never seen."""
    key, cert = (shown.key.read_bytes(), shown.cert.read_bytes()) if shown else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key, cert)
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=OPTIONS)


async def test_certificates_of_one_authority_let_each_other_in(
    ours: Authority, shown: Certificate
) -> None:
    async with serving(ours.settings(shown)) as port:
        other = identity_of(ours.settings(ours.issue("other")))
        for host in ("127.0.0.1", "localhost"):
            channel = open_channel(f"{host}:{port}", SECRET, other)
            assert await asked(channel) == health_pb2.HealthCheckResponse.SERVING


async def test_a_client_without_tls_is_turned_away(ours: Authority, shown: Certificate) -> None:
    async with serving(ours.settings(shown)) as port:
        await refusal(open_channel(f"127.0.0.1:{port}", SECRET))


async def test_a_client_without_a_certificate_is_turned_away(
    ours: Authority, shown: Certificate
) -> None:
    async with serving(ours.settings(shown)) as port:
        await refusal(raw(port, ours.cert, None))
        assert await asked(raw(port, ours.cert, shown))  # it was not the way of asking


async def test_a_client_of_another_authority_is_turned_away(
    ours: Authority, shown: Certificate, foreign: Authority
) -> None:
    async with serving(ours.settings(shown)) as port:
        await refusal(raw(port, ours.cert, foreign.issue("stranger")))


async def test_a_client_whose_certificate_is_over_is_turned_away(
    ours: Authority, shown: Certificate
) -> None:
    async with serving(ours.settings(shown)) as port:
        await refusal(raw(port, ours.cert, ours.issue("over", days=-1)))


async def test_a_server_of_another_authority_is_not_believed(
    ours: Authority, shown: Certificate, foreign: Authority
) -> None:
    async with serving(foreign.settings(foreign.issue("server"))) as port:
        ours_to_it = open_channel(f"127.0.0.1:{port}", SECRET, identity_of(ours.settings(shown)))
        assert "CERTIFICATE_VERIFY_FAILED" in await refusal(ours_to_it)


async def test_a_server_under_another_name_than_it_is_called_by_is_not_believed(
    ours: Authority, shown: Certificate
) -> None:
    elsewhere = ours.issue("elsewhere", names="DNS:elsewhere.internal,IP:127.0.0.2")
    async with serving(ours.settings(elsewhere)) as port:
        client = identity_of(ours.settings(shown))
        assert "Hostname Verification Check failed" in await refusal(
            open_channel(f"127.0.0.1:{port}", SECRET, client)
        )


async def test_a_server_without_tls_is_not_talked_to(ours: Authority, shown: Certificate) -> None:
    server = make_server(SECRET)
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = bind(server, "127.0.0.1", 0)
    await server.start()
    await refusal(open_channel(f"127.0.0.1:{port}", SECRET, identity_of(ours.settings(shown))))
    await server.stop(0)


async def test_replaced_files_count_for_new_connections(tmp_path: Path) -> None:
    old, new = make_authority(tmp_path / "old", "old"), make_authority(tmp_path / "new", "new")
    mine, other, ca = old.issue("mine"), new.issue("other"), tmp_path / "ca.pem"
    ca.write_bytes(old.cert.read_bytes() + new.cert.read_bytes())
    async with serving(ClusterTls(str(mine.cert), str(mine.key), str(ca))) as port:
        assert "CERTIFICATE_VERIFY_FAILED" in await refusal(raw(port, new.cert, other))
        mine.cert.write_bytes(other.cert.read_bytes())
        mine.key.write_bytes(other.key.read_bytes())
        assert await asked(raw(port, new.cert, other))
        ca.write_bytes(new.cert.read_bytes())
        await refusal(raw(port, new.cert, old.issue("late")))
        assert await asked(raw(port, new.cert, other))
