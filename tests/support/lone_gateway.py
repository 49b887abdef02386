"""`baton gateway` as a process of its own, beside a cluster that somebody else has started."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_START, _STOP = 60.0, 30.0  # seconds


class LoneGateway:
    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def kill(self) -> None:
        """SIGKILL; returns once it has ended."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """SIGTERM, which must end it in order."""
        self.process.terminate()
        async with asyncio.timeout(_STOP):
            assert await self.process.wait() == 0


@asynccontextmanager
async def lone_gateway(model: Path, **flags: object) -> AsyncIterator[LoneGateway]:
    """Ready to answer at a free port; `redis_url=x` becomes `--redis-url=x`, `a=True` `--a`."""
    named = [(f"--{name.replace('_', '-')}", value) for name, value in flags.items()]
    spelled = [flag if value is True else f"{flag}={value}" for flag, value in named]
    ours, theirs = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "baton.cluster.cli", "gateway", f"--model={model}", "--port=0"),
            *(f"--ready-fd={theirs}", *spelled),
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs,),
        )
    finally:
        os.close(theirs)
    try:
        with os.fdopen(ours) as ready:
            async with asyncio.timeout(_START):
                line = await asyncio.to_thread(
                    ready.readline
                )  # ends with the process at the latest
        assert line, f"the gateway ended: {await process.wait()}"
        yield LoneGateway(process, json.loads(line)["url"])
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
