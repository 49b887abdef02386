"""The gateway as a process of its own: start, ready line, signals, and what it does not load."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.gateway_reading import CHAT, HI

ROOT = Path(__file__).parents[3]


@contextmanager
def gateway_process(folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A running gateway and its URL."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "gateway", "--model", str(folder), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--ready-fd", str(writer), *flags], pass_fds=[writer], cwd=ROOT
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as ready:
            line = json.loads(ready.readline())
        assert line["registry"].startswith("127.0.0.1:")
        yield process, line["url"]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_it_serves_without_torch_and_ends_cleanly(model_folder: Path) -> None:
    with (
        gateway_process(model_folder, "--max-queue-seconds", "0.1") as (process, url),
        httpx.Client(base_url=url, trust_env=False, timeout=20) as client,
    ):
        assert client.get("/health").status_code == 503
        assert client.post(CHAT, json={"messages": HI}).status_code == 503
        assert client.post(CHAT, json={"messages": []}).status_code == 400
        loaded = Path(f"/proc/{process.pid}/maps").read_text()
        assert "tokenizers" in loaded
        assert "torch" not in loaded
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_an_interrupt_ends_a_request_that_waits(model_folder: Path) -> None:
    with gateway_process(model_folder, "--shutdown-seconds", "0.5") as (process, url):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            body = json.dumps({"messages": HI}).encode()
            head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            client.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            with httpx.Client(base_url=url, trust_env=False, timeout=20) as other:
                other.get("/health")
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            assert b" 503 " in client.recv(1 << 16)


def test_who_looks_at_the_page_keeps_no_gateway_from_ending(model_folder: Path) -> None:
    with (
        gateway_process(model_folder) as (process, url),
        httpx.Client(base_url=url, trust_env=False, timeout=20) as client,
        client.stream("GET", "/ui/events") as looking,
    ):
        lines = looking.iter_lines()
        assert next(lines).startswith("data: ")
        process.send_signal(signal.SIGTERM)
        assert [line for line in lines if line.startswith("data: ")] == []  # ended, not cut off
        assert process.wait(10) == 0


def test_an_occupied_port_is_one_sentence(model_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--model", str(model_folder), "--port", str(port))
    assert result.returncode == os.EX_CONFIG
    assert result.stderr.splitlines() == [
        f"baton gateway: cannot listen on 127.0.0.1:{port}: Address already in use"
    ]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--model", "/nonexistent"], "there is no such folder"),
        ([], "--model"),
        (["--model", "x", "--port", "70000"], "--port"),
    ],
)
def test_a_wrong_setting_is_one_sentence(flags: list[str], named: str) -> None:
    result = run(*flags)
    assert result.returncode == os.EX_CONFIG
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1


def run(*flags: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "gateway", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
