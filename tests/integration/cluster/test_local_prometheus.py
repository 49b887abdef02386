"""The Prometheus of a cluster: ready with our rules, gone without a trace, and no excuse when it cannot start."""

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from baton.cluster.keeper import GaveUpError, Patience, Voices
from baton.cluster.prometheus.local_prometheus import HOST, LocalPrometheus, program
from baton.core.errors import SettingsError
from tests.support.programs import needed
from tests.support.prometheus import PrometheusClient
from tests.support.prometheus_rules import groups


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def local_prometheus(hear: Callable[[str], None], port: int = 0) -> LocalPrometheus:
    path = needed("prometheus", "prometheus")
    voices = Voices(hear, hear)
    return LocalPrometheus(path, port, voices, asyncio.Event(), Patience(30, 10))


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@contextlib.asynccontextmanager
async def running(prometheus: LocalPrometheus) -> AsyncIterator[str]:
    """Its URL."""
    task = asyncio.create_task(prometheus.run(list))
    try:
        async with asyncio.timeout(30):
            yield await prometheus.until_ready()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_has_our_rules_and_leaves_nothing(folders: Path) -> None:
    said: list[str] = []
    async with running(local_prometheus(said.append)) as url:
        async with PrometheusClient(url) as client:
            loaded = {group["name"] for group in await client.rule_groups()}
        assert loaded == {group["name"] for group in groups()}
        assert left_in(folders)
    assert left_in(folders) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, int(url.rpartition(":")[2])))
    assert said == []


async def test_one_that_cannot_start_ends_with_its_last_words(folders: Path) -> None:
    said: list[str] = []
    with socket.create_server((HOST, 0)) as taken:
        prometheus = local_prometheus(said.append, taken.getsockname()[1])
        with pytest.raises(GaveUpError) as caught:
            await prometheus.run(list)
    assert any("address already in use" in line for line in caught.value.last_words)
    assert left_in(folders) == []


async def test_a_cluster_goes_on_when_it_dies(folders: Path) -> None:
    told = asyncio.Queue[str]()
    prometheus = local_prometheus(told.put_nowait)
    async with running(prometheus):
        os.kill(pid_of(folders), signal.SIGKILL)
        async with asyncio.timeout(20):
            line = await told.get()
        assert line == "prometheus has ended (killed by SIGKILL); the cluster goes on, unwatched"
    assert left_in(folders) == []


def pid_of(folder: Path) -> int:
    """Of the process that stores there."""
    (pid,) = [
        int(one.parent.name)
        for one in Path("/proc").glob("[0-9]*/cmdline")
        if str(folder).encode() in _read(one)
    ]
    return pid


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def test_a_machine_without_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SettingsError, match="install the package prometheus"):
        program()
