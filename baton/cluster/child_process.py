"""One child process: started so that it cannot outlive us, heard, and seen to die at once.

Linux only: parent-death signals and pidfds.
"""

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_CHUNK = 1 << 16  # bytes
_DRAIN = 2.0  # seconds for the rest of a dead child's output


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `announces`: the program takes `--ready-fd N` and writes one line there."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    announces: bool = True


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: `code` as in subprocess, negative for a signal."""

    code: int

    def __str__(self) -> str:
        if self.code >= 0:
            return f"exit code {self.code}"
        try:
            return f"killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"killed by signal {-self.code}"


class ChildProcess:
    """Owns the process and its pipes; every start is followed by `stop()`, however it ends.

    The child leads a session of its own, so a Ctrl-C on the terminal reaches only us.
    """

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self._popen = popen
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._pidfd = os.pidfd_open(popen.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)
        self._output: asyncio.Task[None] | None = None
        self._ready: asyncio.Task[bytes] | None = None

    @classmethod
    def start(cls, command: Command, on_line: Callable[[str], None]) -> "ChildProcess":
        """`on_line` gets each line of the child's stdout and stderr. Call it on the event loop."""
        popen, ready = _spawn(command)
        child = cls(popen)
        assert popen.stdout is not None
        child._output = asyncio.create_task(_lines(popen.stdout, on_line))
        if ready is not None:
            child._ready = asyncio.create_task(_first_line(ready))
        return child

    @property
    def pid(self) -> int:
        return self._popen.pid

    async def ready(self) -> str | None:
        """The line that the child announced itself with; None when it closed the pipe without."""
        if self._ready is None:
            return None
        line = await asyncio.shield(self._ready)
        return line.decode() if line else None

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exit)

    def signal(self, number: signal.Signals) -> None:
        """To the child and whatever it has started; nothing once it is dead."""
        if not self._exit.done():
            os.killpg(self.pid, number)

    async def stop(self, grace: float, hurry: asyncio.Event) -> Exit:
        """SIGTERM, then SIGKILL after `grace` seconds or as soon as `hurry` is set.

        Afterwards the process is gone, its output was delivered and its pipes are closed.
        """
        self.signal(signal.SIGTERM)
        hurried = asyncio.create_task(hurry.wait())
        try:
            ends: set[asyncio.Future[Any]] = {self._exit, hurried}
            await asyncio.wait(ends, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurried.cancel()
            self.signal(signal.SIGKILL)
        ended = await self.wait()
        await self._close()
        return ended

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        # Before the wait, while the number still belongs to the dead leader of the group.
        os.killpg(self.pid, signal.SIGKILL)
        self._exit.set_result(Exit(self._popen.wait()))

    async def _close(self) -> None:
        tasks = {task for task in (self._output, self._ready) if task is not None}
        await asyncio.wait(tasks, timeout=_DRAIN)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _spawn(command: Command) -> tuple["subprocess.Popen[bytes]", IO[bytes] | None]:
    read_end, write_end = os.pipe() if command.announces else (None, None)
    announced = () if write_end is None else (write_end,)
    try:
        popen = subprocess.Popen(
            [*command.argv, *(f"--ready-fd={fd}" for fd in announced)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(command.env),
            pass_fds=announced,
            start_new_session=True,
            preexec_fn=_dying_with(os.getpid()),
        )
    except OSError:
        if read_end is not None:
            os.close(read_end)
        raise
    finally:
        if write_end is not None:
            os.close(write_end)
    return popen, None if read_end is None else os.fdopen(read_end, "rb", buffering=0)


def _dying_with(parent: int) -> Callable[[], None]:
    def between_fork_and_exec() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above could have an effect
            os._exit(1)

    return between_fork_and_exec


async def _lines(pipe: IO[bytes], on_line: Callable[[str], None]) -> None:
    rest = b""
    async with _Reader(pipe) as reader:
        while chunk := await reader.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                on_line(line.decode(errors="replace"))
    if rest:
        on_line(rest.decode(errors="replace"))


async def _first_line(pipe: IO[bytes]) -> bytes:
    async with _Reader(pipe) as reader:
        return (await reader.readline()).strip()


class _Reader:
    """A pipe as a stream, closed at the end of the block."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._transport: asyncio.ReadTransport | None = None

    async def __aenter__(self) -> asyncio.StreamReader:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_read_pipe(lambda: protocol, self._pipe)
        return reader

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.close()
