"""Small real programs that stand in for a cluster's processes."""

import json
import os
import select
import sys
import textwrap
from dataclasses import dataclass, field

from baton.cluster.child_process import Command
from baton.core.worker_info import Role

_PRELUDE = """
import json, os, signal, sys, threading

def announce(**words):
    fd = int(sys.argv[-1].removeprefix("--ready-fd="))
    os.write(fd, (json.dumps(words) + "\\n").encode())
    os.close(fd)

def until_terminated():
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    told.wait()
"""


def fake(body: str, *words: str, announces: bool = True) -> Command:
    """A program of `announce(...)`, `until_terminated()` and the standard library."""
    program = _PRELUDE + textwrap.dedent(body)
    return Command((sys.executable, "-I", "-S", "-u", "-c", program, *words), os.environ, announces)


def fake_server(**line: object) -> Command:
    """Becomes ready with `line`, then works until SIGTERM."""
    return fake(
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        announce(**json.loads(sys.argv[1]))
        signal.pause()
        """,
        json.dumps(line),
    )


def fake_crash(code: int = 3) -> Command:
    """Says what is wrong and dies before it is ready."""
    return fake(f"print('no memory for the model'); sys.exit({code})")


def fake_stubborn() -> Command:
    """Becomes ready and does not care for SIGTERM."""
    return fake(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        announce()
        threading.Event().wait()
        """
    )


def fake_leaving(name: str) -> Command:
    """Becomes ready as `name`; says when it is told to stop and, a while later, when it does."""
    return fake(
        """
        told = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: told.set())
        announce(url="http://127.0.0.1:8123", address="127.0.0.1:1", metrics_url="http://x/")
        told.wait()
        print(sys.argv[1], "told")
        threading.Event().wait(0.2)  # in which another one could be told
        print(sys.argv[1], "leaves")
        """,
        name,
    )


def fake_starting() -> Command:
    """Never becomes ready; says when SIGTERM would end it."""
    return fake("print('loading'); signal.pause()")


@dataclass
class FakePlan:
    """A cluster of fakes; remembers what it was asked for."""

    port: int = 0
    registry_host: str = "127.0.0.1"
    ids: tuple[str, ...] = ("prefill-0", "decode-0")
    odd: dict[str, Command] = field(default_factory=dict)  # instead of a server
    asked: list[tuple[str, ...]] = field(default_factory=list)
    slots: dict[str, int] = field(default_factory=dict)  # by worker, the latest

    def welcome(self, url: str, metrics: str = "") -> list[str]:
        return [f"endpoint: {url}/v1", f"  curl {url}"]

    def gateway(self, port: int, registry_port: int) -> Command:
        self.asked.append(("gateway", str(port), str(registry_port)))
        if "gateway" in self.odd:
            return self.odd["gateway"]
        return fake_server(url=f"http://127.0.0.1:{port or 8123}", registry="127.0.0.1:8124")

    def workers(self) -> list[tuple[str, Role]]:
        return [(name, Role(name.partition("-")[0])) for name in self.ids]

    def worker(self, worker_id: str, role: Role, registry: str, slot: int) -> Command:
        self.asked.append((worker_id, registry))
        self.slots[worker_id] = slot
        if worker_id in self.odd:
            return self.odd[worker_id]
        return fake_server(address="127.0.0.1:1", metrics_url="http://127.0.0.1:2/metrics")


def is_gone(pid: int, seconds: float = 10.0) -> bool:
    """True once the process has ended, though nobody may have reaped it yet."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)
