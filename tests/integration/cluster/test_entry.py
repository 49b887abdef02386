"""The program's first moments."""

import asyncio
import signal
import sys

from baton.cluster.entry import ending_quietly


async def test_ctrl_c_while_a_command_is_imported_says_nothing() -> None:
    program = """
import sys, types
from baton.cluster import cli, entry

def import_module(name):
    print("importing", flush=True)
    sys.stdin.read()

cli.importlib = types.SimpleNamespace(import_module=import_module)
sys.argv = ["baton", "up"]
entry.main()
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"importing\n"
            process.send_signal(signal.SIGINT)
            assert await process.stderr.read() == b""
            assert await process.wait() == -signal.SIGINT
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_afterwards_ctrl_c_is_what_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with ending_quietly():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is before
