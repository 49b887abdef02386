"""A cluster of processes in which every link between two of them goes through a relay."""

import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from baton.cluster.reserved_port import reserved_port
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.link_relay import Links

GATEWAY = "gateway"


class RelayedCluster:
    """`cluster` as ever, and the links between its processes."""

    def __init__(self, prefill: int, decode: int) -> None:
        self.prefill = [f"prefill-{i}" for i in range(prefill)]
        self.decode = [f"decode-{i}" for i in range(decode)]
        self.links = Links(self._owner_of)
        self.relay_ports: list[int] = []
        self.cluster: RunningCluster

    def meet(self, cluster: RunningCluster) -> None:
        self.cluster = cluster
        cluster.not_ours |= {("127.0.0.1", port) for port in self.relay_ports}

    @property
    def workers(self) -> list[str]:
        return self.prefill + self.decode

    def pid_of(self, name: str) -> int | None:
        """Of a worker or the gateway; None while it has none."""
        return next((pid for pid in self.cluster.processes() if _name(pid) == name), None)

    def _owner_of(self, inode: int) -> str | None:
        if not inode:
            return None
        wanted = f"socket:[{inode}]"
        for pid in self.cluster.processes():
            name = _name(pid)
            if name is not None and _has(pid, wanted):
                return name
        return None


@asynccontextmanager
async def relayed_cluster(
    model: Path, prefill: int, decode: int, **flags: Any
) -> AsyncIterator[RelayedCluster]:
    """KV blocks go over TCP, through relays like everything else."""
    relayed = RelayedCluster(prefill, decode)
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(relayed.links.relay(GATEWAY, "control"))
        registry.target_port = stack.enter_context(reserved_port("127.0.0.1"))
        words = {}
        for worker in relayed.workers:
            ports = []
            for plane in ("control", "data"):
                relay = await stack.enter_async_context(relayed.links.relay(worker, plane))
                relay.target_port = stack.enter_context(reserved_port("127.0.0.1"))
                relayed.relay_ports.append(relay.port)
                ports += [relay.target_port, relay.port]
            names = ("port", "advertise-port", "kv-port", "advertise-kv-port")
            words[worker] = [f"--{n}={p}" for n, p in zip(names, ports, strict=True)]
            words[worker].append(f"--registry=127.0.0.1:{registry.port}")
        places = json.dumps({"registry": registry.target_port, "words": words})
        running = running_cluster(
            model,
            prefill,
            decode,
            program=("tests.support.relayed_up", places),
            meet=relayed.meet,
            kv_transport="tcp",
            **flags,
        )
        await stack.enter_async_context(running)
        yield relayed


def _name(pid: int) -> str | None:
    """Of the cluster's process: its worker id, or gateway."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return None
    if "gateway" in words:
        return GATEWAY
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--worker-id"):
            return word.partition("=")[2] or following
    return None


def _has(pid: int, wanted: str) -> bool:
    with contextlib.suppress(OSError):  # it ended while we looked
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(entry) == wanted:
                    return True
    return False
