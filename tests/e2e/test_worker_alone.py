"""A worker that is started by hand."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.signals import not_ignored


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_can_be_stopped_while_its_registry_is_not_there(
    hash_model: Path, number: signal.Signals
) -> None:
    words = ["--registry=127.0.0.1:1", "--kv-cache-memory-bytes=8388608", f"--model={hash_model}"]
    with not_ignored(number):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "baton.cluster.cli", "decode", *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stderr.readline()
            assert b"not in the registry" in line
            process.send_signal(number)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        rest = await process.stderr.read()
        await process.wait()
    assert b"Traceback" not in rest
