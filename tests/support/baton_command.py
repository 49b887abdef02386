"""The `baton` command: inside the test's process, or as a process beside a loop that serves."""

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass

from click.testing import CliRunner, Result

from baton.cluster.cli import main


def baton(*words: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, words, env=env)


@dataclass(frozen=True, slots=True)
class Ran:
    exit_code: int
    stdout: str
    stderr: str


async def baton_process(
    *words: str, env: dict[str, str] | None = None, prefix: tuple[str, ...] = ()
) -> Ran:
    """`prefix`: words of a program that becomes it, such as nsenter."""
    process = await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-m", "baton.cluster.cli", *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(), 50)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ran(process.returncode, stdout.decode(), stderr.decode())
