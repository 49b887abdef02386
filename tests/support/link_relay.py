"""TCP relays between the processes of a cluster, which can cut and silence any one link.

A link is a pair of processes and a plane. One relay serves many links: who has dialled it is found
in /proc, for all processes are on this machine.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

Namer = Callable[[int], str | None]  # inode of a socket -> name of the process that has it


@dataclass(frozen=True, slots=True)
class Link:
    one: str
    other: str
    plane: str = "control"

    def __str__(self) -> str:
        return f"{self.one} - {self.other} ({self.plane})"


def link(one: str, other: str, plane: str = "control") -> Link:
    """The same whoever dials."""
    return Link(min(one, other), max(one, other), plane)


class LinkState:
    """`flows` is clear while the link is silent: it accepts, and passes nothing on."""

    def __init__(self) -> None:
        self.flows = asyncio.Event()
        self.flows.set()
        self.is_cut = False
        self.writers: set[asyncio.StreamWriter] = set()
        self.passed = 0  # bytes, ever


class Links:
    """All links of a cluster, whichever relays they go through."""

    def __init__(self, name_of: Namer) -> None:
        self._states: defaultdict[Link, LinkState] = defaultdict(LinkState)
        self._name_of = name_of
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self, broken: Link) -> None:
        """Every connection is reset, and new ones are until it heals."""
        state = self._states[broken]
        state.is_cut = True
        for writer in list(state.writers):
            writer.transport.abort()

    def silence(self, silent: Link) -> None:
        self._states[silent].flows.clear()

    def heal(self, broken: Link) -> None:
        self._states[broken].is_cut = False
        self._states[broken].flows.set()

    def used(self) -> list[Link]:
        """Those that have carried something."""
        return [known for known, state in self._states.items() if state.passed]

    @asynccontextmanager
    async def relay(self, owner: str, plane: str) -> AsyncIterator["Relay"]:
        """A relay before `owner`'s port for this plane."""
        relay = Relay(self, owner, plane)
        server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
        relay.port = server.sockets[0].getsockname()[1]
        try:
            yield relay
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def carry(
        self,
        owner: str,
        plane: str,
        here: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        target_port: int,
    ) -> None:
        """One connection, from its beginning to its end."""
        dialler = self._name_of(_inode_of_peer(here[1]))
        if dialler is None:  # it is gone already
            here[1].transport.abort()
            return
        state = self._states[link(dialler, owner, plane)]
        state.writers.add(here[1])
        try:
            await state.flows.wait()
            if not state.is_cut:
                await _join(state, here, target_port)
        except OSError:
            pass  # nobody is there, or it was reset, by an end or by `cut`
        finally:
            state.writers.discard(here[1])
            here[1].transport.abort()

    def keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Relay:
    """`target_port` may come later, and change with the owner's life."""

    def __init__(self, links: Links, owner: str, plane: str) -> None:
        self.port = 0
        self.target_port = 0
        self._links = links
        self._owner = owner
        self._plane = plane

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrying = self._links.carry(self._owner, self._plane, (reader, writer), self.target_port)
        task = asyncio.ensure_future(carrying)
        self._links.keep(task)
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _join(
    state: LinkState, here: tuple[asyncio.StreamReader, asyncio.StreamWriter], target_port: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", target_port)
    state.writers.add(writer)
    try:
        async with asyncio.TaskGroup() as pumps:  # one that breaks ends the other
            pumps.create_task(_pump(state, here[0], writer))
            pumps.create_task(_pump(state, reader, here[1]))
    except* OSError as broken:
        raise ConnectionResetError from broken
    finally:
        state.writers.discard(writer)
        writer.transport.abort()


async def _pump(
    state: LinkState, source: asyncio.StreamReader, target: asyncio.StreamWriter
) -> None:
    while data := await source.read(1 << 18):
        await state.flows.wait()
        target.write(data)
        state.passed += len(data)
        await target.drain()
    await state.flows.wait()  # a silent link does not tell of an end either
    if target.can_write_eof():
        target.write_eof()


def _inode_of_peer(writer: asyncio.StreamWriter) -> int:
    """Of the dialler's socket; 0 when it is gone."""
    ours, theirs = (writer.get_extra_info(name) for name in ("sockname", "peername"))
    if not ours or not theirs:
        return 0
    wanted = [f"{address[1]:04X}" for address in (theirs, ours)]
    for table in ("tcp", "tcp6"):  # gRPC speaks IPv4 through sockets of IPv6
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if [address.rpartition(":")[2] for address in fields[1:3]] == wanted:
                return int(fields[9])
    return 0
