"""The Prometheus page over a real socket."""

import asyncio
import contextlib
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry, Counter

from baton.core.errors import SettingsError
from baton.telemetry.metrics import HEALTH, MetricsServer, loop_answers
from tests.support.network import has_ipv6


@contextlib.contextmanager
def page(registry: CollectorRegistry, host: str = "127.0.0.1") -> Iterator[MetricsServer]:
    server = MetricsServer(registry, host)
    server.start()
    try:
        yield server
    finally:
        server.close()


def get(url: str, accept: str = "*/*") -> tuple[str, str]:
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=5) as response:
        return response.headers["Content-Type"], response.read().decode()


def test_the_page_shows_the_registry() -> None:
    registry = CollectorRegistry()
    Counter("hops", "Hops made.", registry=registry).inc(3)
    with page(registry) as server:
        content_type, text = get(server.url)
    assert content_type.startswith("text/plain")
    assert "hops_total 3.0" in text


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_the_page_is_served_on_ipv6_too(host: str) -> None:
    with page(CollectorRegistry(), host) as server:
        assert server.url.startswith("http://[::1]:")
        get(server.url)


def test_names_are_the_same_to_whoever_asks() -> None:
    """Prometheus asks for OpenMetrics first."""
    registry = CollectorRegistry()
    Counter("vllm:hops", "Hops made.", registry=registry).inc(3)
    with page(registry) as server:
        for accept in ("*/*", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"):
            content_type, text = get(server.url, accept)
            assert content_type.startswith("text/plain")
            assert "\nvllm:hops_total 3.0\n" in text


def test_other_paths_are_not_found() -> None:
    with page(CollectorRegistry()) as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(server.url.replace("/metrics", "/else"))
        caught.value.close()
    assert caught.value.code == 404


def test_closing_leaves_no_thread_and_no_port() -> None:
    before = set(threading.enumerate())
    with page(CollectorRegistry()) as server:
        get(server.url)
        port = urlsplit(server.url).port
    assert set(threading.enumerate()) <= before
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_closing_does_not_wait_for_a_client_that_says_nothing() -> None:
    before = set(threading.enumerate())
    with page(CollectorRegistry()) as server:
        parts = urlsplit(server.url)
        silent = socket.create_connection((parts.hostname, parts.port), timeout=5)
        get(server.url)  # accepted after the silent one, so that one has its thread by now
    with silent:
        assert silent.recv(1) == b""
    assert set(threading.enumerate()) <= before


def test_a_server_that_never_started_closes_too() -> None:
    MetricsServer(CollectorRegistry(), "127.0.0.1").close()


def test_an_occupied_port_is_a_settings_error() -> None:
    with page(CollectorRegistry()) as server:
        port = urlsplit(server.url).port
        assert port is not None
        with pytest.raises(SettingsError, match=rf"cannot serve metrics on 127.0.0.1:{port}"):
            MetricsServer(CollectorRegistry(), "127.0.0.1", port)


def status_of(server: MetricsServer, path: str) -> int:
    try:
        with urllib.request.urlopen(server.url.replace("/metrics", path), timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_probe_is_answered_by_what_it_asks_about() -> None:
    healthy = True
    with page(CollectorRegistry()) as server:
        assert status_of(server, HEALTH) == 404, "nobody has said yet what health is"
        server.probes[HEALTH] = lambda: healthy
        assert status_of(server, HEALTH) == 200
        healthy = False
        assert status_of(server, HEALTH) == 503


async def test_a_loop_that_hangs_does_not_answer() -> None:
    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(loop_answers, loop)
    asked = threading.Thread(target=lambda: answers.append(loop_answers(loop, seconds=0.05)))
    answers: list[bool] = []
    asked.start()
    asked.join()  # and the loop stands still meanwhile
    assert answers == [False]


def test_a_loop_that_is_closed_does_not_answer() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    assert not loop_answers(loop)


def test_a_scraper_that_goes_before_its_answer_is_no_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone, asked = threading.Event(), threading.Event()

    def when_gone() -> bool:
        asked.set()
        return gone.wait(10)

    with page(CollectorRegistry()) as server:
        server.probes[HEALTH] = when_gone
        place = urlsplit(server.url)
        with socket.create_connection((str(place.hostname), int(place.port or 0))) as scraper:
            at_once = struct.pack("ii", 1, 0)
            scraper.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            scraper.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            assert asked.wait(10)
        gone.set()
    assert capsys.readouterr().err == ""
