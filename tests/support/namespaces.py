"""Networks of their own for what listens on every interface: one machine or two, joined by a cable."""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.programs import needed

_HOLD = "ip link set lo up && echo up && exec cat"  # until its stdin is closed


@dataclass(frozen=True, slots=True)
class Namespace:
    """`holder` is a process that does nothing but be in it."""

    holder: int

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words that begin a command which runs there."""
        return ("nsenter", "-t", str(self.holder), "-n")

    def run(self, *words: str) -> None:
        subprocess.run([*self.prefix, *words], check=True, timeout=20)

    def processes(self) -> list[int]:
        """Who is in it, but for the holder."""
        mine = os.readlink(f"/proc/{self.holder}/ns/net")
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != self.holder:
                with contextlib.suppress(OSError):  # it ended while we looked
                    if os.readlink(folder / "ns/net") == mine:
                        found.append(int(folder.name))
        return found

    def kill_all(self) -> None:
        """As if the machine had lost its power: nobody says goodbye."""
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in pids:
                _await_end(pid)


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """Only the loopback is there. Whoever is left in it at the end is killed."""
    needed("ip", "iproute2")
    needed("nsenter", "util-linux")
    holder = subprocess.Popen(
        [needed("unshare", "util-linux"), "-n", "sh", "-c", _HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stderr is not None
        try:
            if holder.stdout.readline() != "up\n":
                _cannot(holder.stderr.read().strip())
            made = Namespace(holder.pid)
            try:
                yield made
            finally:
                made.kill_all()
        finally:
            holder.stdin.close()


def join(one: Namespace, other: Namespace, addresses: tuple[str, str]) -> None:
    """A cable between them; addresses are of the first and of the second."""
    one.run(
        "ip", "link", "add", "cable", "type", "veth", "peer", "cable", "netns", str(other.holder)
    )
    for side, address in ((one, addresses[0]), (other, addresses[1])):
        side.run("ip", "address", "add", f"{address}/24", "dev", "cable")
        side.run("ip", "link", "set", "cable", "up")


def _cannot(reason: str) -> None:
    told = f"no network of its own can be made here: {reason}; run as root"
    if os.environ.get("BATON_REQUIRE_ALL") == "1":
        pytest.fail(told)
    pytest.skip(told)


def _await_end(pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([pidfd], [], [], 10)
    finally:
        os.close(pidfd)
