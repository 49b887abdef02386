"""A worker's process has no last words but its own."""

import asyncio
import os
import sys
from pathlib import Path

PROGRAM = """
import atexit, sys
from baton.core.errors import SettingsError
from baton.core.worker_info import Role
from baton.worker.process import be_worker_with
from baton.worker.settings import WorkerSettings

def load(folder, settings):
    atexit.register(print, "what a library says of what it leaves", file=sys.stderr)
    print("loading")
    raise SettingsError("this cannot be")

be_worker_with(load, Role.PREFILL, (Role.PREFILL,), WorkerSettings(model=sys.argv[1]))
"""


async def test_a_start_that_fails_ends_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(tmp_path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert (out, err) == (b"loading\n", b"Error: this cannot be\n")
    assert process.returncode == os.EX_CONFIG
