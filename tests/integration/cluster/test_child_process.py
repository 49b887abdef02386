"""A child is heard, seen to die, and never outlives us."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from baton.cluster.child_process import ChildProcess, Command, Exit
from tests.support.fake_processes import fake, fake_server, fake_stubborn, is_gone

NEVER = asyncio.Event


async def lines_of(command: Command) -> tuple[list[str], Exit]:
    heard: list[str] = []
    child = ChildProcess.start(command, heard.append)
    try:
        await asyncio.wait_for(child.wait(), 10)
    finally:
        ended = await child.stop(5.0, NEVER())
    return heard, ended


async def test_every_line_is_heard_even_without_its_newline() -> None:
    body = "print('one'); print('zwei', file=sys.stderr); sys.stdout.write('last')"
    heard, ended = await lines_of(fake(body, announces=False))
    assert heard == ["one", "zwei", "last"]
    assert ended == Exit(0)


async def test_a_very_long_line_is_heard_whole() -> None:
    heard, _ = await lines_of(fake("print('x' * 1_000_000)", announces=False))
    assert [len(line) for line in heard] == [1_000_000]


async def test_the_ready_line_arrives() -> None:
    child = ChildProcess.start(fake_server(url="here"), print)
    try:
        assert await asyncio.wait_for(child.ready(), 10) == '{"url": "here"}'
    finally:
        assert await child.stop(10.0, NEVER()) == Exit(0)
    assert is_gone(child.pid)


async def test_a_child_that_dies_without_a_word_was_never_ready() -> None:
    child = ChildProcess.start(fake("sys.exit(7)"), print)
    try:
        assert await asyncio.wait_for(child.ready(), 10) is None
        assert await asyncio.wait_for(child.wait(), 10) == Exit(7)
    finally:
        await child.stop(1.0, NEVER())


async def test_a_stubborn_child_is_killed_after_the_grace() -> None:
    child = ChildProcess.start(fake_stubborn(), print)
    await asyncio.wait_for(child.ready(), 10)
    assert await child.stop(0.05, NEVER()) == Exit(-signal.SIGKILL)


async def test_hurry_kills_at_once() -> None:
    child = ChildProcess.start(fake_stubborn(), print)
    await asyncio.wait_for(child.ready(), 10)
    hurry = asyncio.Event()
    stopping = asyncio.create_task(child.stop(3600.0, hurry))
    hurry.set()
    assert await asyncio.wait_for(stopping, 10) == Exit(-signal.SIGKILL)


async def test_what_a_child_has_started_dies_with_it() -> None:
    body = """
    import subprocess
    grandchild = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"])
    announce(pid=grandchild.pid)
    signal.pause()
    """
    child = ChildProcess.start(fake(body), print)
    line = await asyncio.wait_for(child.ready(), 10)
    assert line is not None
    os.kill(child.pid, signal.SIGKILL)
    assert await asyncio.wait_for(child.wait(), 10) == Exit(-signal.SIGKILL)
    await child.stop(1.0, NEVER())
    assert is_gone(int(line.partition(": ")[2].rstrip("}")))


def test_a_killed_parent_leaves_no_child() -> None:
    program = """
import asyncio
from baton.cluster.child_process import ChildProcess
from tests.support.fake_processes import fake_stubborn

async def main():
    child = ChildProcess.start(fake_stubborn(), print)
    await child.ready()
    print(child.pid, flush=True)
    await child.wait()

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert is_gone(pid)


async def test_a_program_that_does_not_exist_leaves_no_pipe_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        ChildProcess.start(Command(("/no/such/program",), os.environ), print)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_many_lives_leave_no_descriptor_open() -> None:
    await lines_of(fake("announce()"))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await lines_of(fake("announce(); print('x')"))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "killed by SIGKILL"),
        (-77, "killed by signal 77"),
    ],
)
def test_an_exit_is_told_in_words(code: int, words: str) -> None:
    assert str(Exit(code)) == words
