"""A program of others that tells in its log when it is ready."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_READY = 30.0  # seconds


@asynccontextmanager
async def logged_process(*argv: str, ready: str) -> AsyncIterator[None]:
    """Running, from the line with `ready` on; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    listening: asyncio.Task[None] | None = None
    try:
        await _until(process, ready)
        listening = asyncio.create_task(_rest(process))  # a full pipe would stop it
        yield
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        if listening is not None:
            await listening
        await process.wait()


async def _until(process: asyncio.subprocess.Process, ready: str) -> None:
    assert process.stdout is not None
    said = []
    async with asyncio.timeout(_READY):
        async for line in process.stdout:
            said.append(line.decode(errors="replace"))
            if ready in said[-1]:
                return
    raise AssertionError(f"it ended: {''.join(said)}")


async def _rest(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while await process.stdout.read(1 << 16):
        pass
